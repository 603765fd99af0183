import { shown } from "../format.js";

/** Everything that is known of one row. */
«?references»export default function «component»({ row, options = {}, onBack, onEdit, onDelete }) {
«?!references»export default function «component»({ row, onBack, onEdit, onDelete }) {
  return (
    <article className="panel">
      <h2>{«heading_shown»}</h2>
      <dl className="facts">
        «facts»
      </dl>
      <div className="toolbar">
        {onBack && (
          <button type="button" onClick={onBack}>
            Back
          </button>
        )}
        {onEdit && (
          <button type="button" onClick={onEdit}>
            Edit
          </button>
        )}
        {onDelete && (
          <button type="button" className="danger" onClick={onDelete}>
            Delete
          </button>
        )}
      </div>
    </article>
  );
}
