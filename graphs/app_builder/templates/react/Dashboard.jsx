import { counted, shown, total } from "../format.js";

const TABLES = [
  «tables»
];

/** How much there is, and how it is spread. `tables` are the rows by the name of their table. */
export default function «component»({ tables }) {
  return (
    <>
      <section className="panel stats">
        {TABLES.map(({ name, label, sums }) => (
          <div key={name} className="stat">
            <strong>{tables[name].length}</strong> {label}
            {sums.map((field) => (
              <div key={field.name} className="hint">
                {field.label}: {shown(total(tables[name], field.name), field.type)}
              </div>
            ))}
          </div>
        ))}
      </section>
      {TABLES.flatMap(({ name, label, spreads }) =>
        spreads.map((field) => (
          <section key={`${name}.${field.name}`} className="panel">
            <h2>
              {label} by {field.label.toLowerCase()}
            </h2>
            <div className="bars">
              {counted(tables[name], field.name).map(([value, count]) => (
                <Bar
                  key={String(value)}
                  label={shown(value, field.type)}
                  count={count}
                  of={tables[name].length}
                />
              ))}
            </div>
          </section>
        )),
      )}
    </>
  );
}

function Bar({ label, count, of }) {
  return (
    <>
      <span>{label}</span>
      <meter min={0} max={of} value={count} aria-label={label} />
      <span>{count}</span>
    </>
  );
}
