«?search|sort»import { useState } from "react";
import { «tools» } from "../format.js";

const COLUMNS = [
  «columns»
];

/** «plural_label» in a table. The functions that it is given say what can be done with a row. */
export default function «component»({ rows, options = {}, onAdd, onOpen, onEdit, onDelete }) {
«?search»  const [query, setQuery] = useState("");
«?sort»  const [sort, setSort] = useState({ name: "«heading»", up: true });
«?search»  const found = matching(rows, query);
«?!search»  const found = rows;
«?sort»  const { type } = COLUMNS.find((column) => column.name === sort.name);
«?sort»  const ordered = [...found].sort(
«?sort»    (a, b) => compared(a[sort.name], b[sort.name], type) * (sort.up ? 1 : -1),
«?sort»  );
«?!sort»  const ordered = found;

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
«?export»        <button type="button" onClick={() => download("«table».csv", csv(ordered, COLUMNS))}>
«?export»          Export
«?export»        </button>
        {onAdd && (
          <button type="button" className="primary" onClick={onAdd}>
            Add
          </button>
        )}
      </div>
      {ordered.length === 0 && <p className="empty">Nothing to show.</p>}
      {ordered.length > 0 && (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                {COLUMNS.map(({ name, label }) => (
«?sort»                  <th key={name} aria-sort={ariaSort(sort, name)}>
«?sort»                    <button
«?sort»                      type="button"
«?sort»                      onClick={() => setSort({ name, up: sort.name === name ? !sort.up : true })}
«?sort»                    >
«?sort»                      {label}
«?sort»                    </button>
«?sort»                  </th>
«?!sort»                  <th key={name}>{label}</th>
                ))}
                <th aria-label="Actions" />
              </tr>
            </thead>
            <tbody>
              {ordered.map((row) => (
                <tr key={row.id}>
                  {COLUMNS.map(({ name, type: kind, references, isNumber }) => (
                    <td key={name} className={isNumber ? "number" : undefined}>
                      {shown(row[name], kind, options[references])}
                    </td>
                  ))}
                  <td className="actions">
                    {onOpen && (
                      <button type="button" onClick={() => onOpen(row)}>
                        Open
                      </button>
                    )}{" "}
                    {onEdit && (
                      <button type="button" onClick={() => onEdit(row)}>
                        Edit
                      </button>
                    )}{" "}
                    {onDelete && (
                      <button type="button" className="danger" onClick={() => onDelete(row)}>
                        Delete
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
«?sort»
«?sort»function ariaSort(sort, name) {
«?sort»  if (sort.name !== name) return undefined;
«?sort»  return sort.up ? "ascending" : "descending";
«?sort»}
