import { reactive, watch } from "vue";
import { SEED } from "./seed.js";

const KEY = "«slug»";

/** The tables as this browser kept them, or the rows to begin with. */
function kept() {
  try {
    return { ...SEED, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...SEED }; // a browser that keeps nothing, or kept something else
  }
}

/** Every table by its name. */
export const tables = reactive(kept());

watch(tables, (current) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch (error) {
    console.warn("the rows are not kept:", error);
  }
});

/** Add a row without an id; replace the one that has its id. */
export function save(name, row) {
  tables[name] =
    row.id === undefined
      ? [...tables[name], { ...row, id: crypto.randomUUID() }]
      : tables[name].map((each) => (each.id === row.id ? row : each));
}

export function remove(name, id) {
  tables[name] = tables[name].filter((each) => each.id !== id);
}

/** Rows to choose from, as a reference needs them. */
export function choices(name, label) {
  return tables[name].map((row) => ({ id: row.id, label: String(row[label]) }));
}
