import { useState } from "react";
import { faults } from "../format.js";

const FIELDS = [
  «fields»
];

const EMPTY = {
  «empty»
};

/** A form for one row; `onSave` gets its values once nothing is wrong with them. */
«?references»export default function «component»({ value = EMPTY, options = {}, onSave, onCancel }) {
«?!references»export default function «component»({ value = EMPTY, onSave, onCancel }) {
  const [values, setValues] = useState({ ...EMPTY, ...value });
  const [errors, setErrors] = useState({});

  const set = (name, entered) => setValues((current) => ({ ...current, [name]: entered }));

  const submit = (event) => {
    event.preventDefault();
    const found = faults(values, FIELDS);
    setErrors(found);
    if (Object.keys(found).length === 0) onSave(values);
  };

  return (
    <form className="panel form" onSubmit={submit} noValidate>
      <h2>«label»</h2>
      «inputs»
      <div className="toolbar">
        <button className="primary" type="submit">
          Save
        </button>
        {onCancel && (
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
        )}
      </div>
    </form>
  );
}
