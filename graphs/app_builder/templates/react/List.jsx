«?search»import { useState } from "react";
import { «tools» } from "../format.js";

const COLUMNS = [
  «columns»
];

/** «plural_label» as cards. The functions that it is given say what can be done with a row. */
export default function «component»({ rows, options = {}, onAdd, onOpen, onEdit, onDelete }) {
«?search»  const [query, setQuery] = useState("");
«?search»  const found = matching(rows, query);
«?!search»  const found = rows;

  return (
    <section className="panel">
      <div className="toolbar">
        <h2>«plural_label»</h2>
«?search»        <input
«?search»          type="search"
«?search»          aria-label="Search"
«?search»          placeholder="Search"
«?search»          value={query}
«?search»          onChange={(event) => setQuery(event.target.value)}
«?search»        />
«?export»        <button type="button" onClick={() => download("«table».csv", csv(found, COLUMNS))}>
«?export»          Export
«?export»        </button>
        {onAdd && (
          <button type="button" className="primary" onClick={onAdd}>
            Add
          </button>
        )}
      </div>
      {found.length === 0 && <p className="empty">Nothing to show.</p>}
      <ul className="cards">
        {found.map((row) => (
          <li key={row.id} className="card">
            <h3>{shown(row.«heading», "«heading_type»", options[COLUMNS[0].references])}</h3>
            <dl className="facts">
              {COLUMNS.slice(1).map(({ name, label, type, references }) => (
                <div key={name}>
                  <dt>{label}</dt>
                  <dd>{shown(row[name], type, options[references])}</dd>
                </div>
              ))}
            </dl>
            <div className="toolbar">
              {onOpen && (
                <button type="button" onClick={() => onOpen(row)}>
                  Open
                </button>
              )}
              {onEdit && (
                <button type="button" onClick={() => onEdit(row)}>
                  Edit
                </button>
              )}
              {onDelete && (
                <button type="button" className="danger" onClick={() => onDelete(row)}>
                  Delete
                </button>
              )}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
