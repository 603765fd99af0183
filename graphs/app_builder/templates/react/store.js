import { useEffect, useState } from "react";
import { SEED } from "./seed.js";

const KEY = "«slug»";

/** The tables as this browser kept them, or the rows to begin with. */
function kept() {
  try {
    return { ...SEED, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return SEED; // a browser that keeps nothing, or kept something else
  }
}

/** Every table by its name, and what can be done with their rows. */
export function useStore() {
  const [tables, setTables] = useState(kept);

  useEffect(() => {
    try {
      localStorage.setItem(KEY, JSON.stringify(tables));
    } catch (error) {
      console.warn("the rows are not kept:", error);
    }
  }, [tables]);

  const change = (name, rows) => setTables((current) => ({ ...current, [name]: rows(current[name]) }));

  return {
    tables,
    /** Add a row without an id; replace the one that has its id. */
    save: (name, row) =>
      change(name, (rows) =>
        row.id === undefined
          ? [...rows, { ...row, id: crypto.randomUUID() }]
          : rows.map((each) => (each.id === row.id ? row : each)),
      ),
    remove: (name, id) => change(name, (rows) => rows.filter((each) => each.id !== id)),
    /** Rows to choose from, as a reference needs them. */
    choices: (name, label) => tables[name].map((row) => ({ id: row.id, label: String(row[label]) })),
  };
}
