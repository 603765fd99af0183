// How values are shown, compared, searched and exported.

const MONEY = new Intl.NumberFormat(undefined, {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});
const NUMBER_TYPES = new Set(["integer", "number", "money"]);

/** A value as people read it. `options` are the rows that a reference chooses from. */
export function shown(value, type, options = []) {
  if (value === undefined || value === null || value === "") return "–";
  if (type === "boolean") return value ? "Yes" : "No";
  if (type === "money") return MONEY.format(Number(value));
  if (type === "integer" || type === "number") return Number(value).toLocaleString();
  if (type === "date") return new Date(`${value}T00:00:00`).toLocaleDateString();
  if (type === "datetime") return new Date(value).toLocaleString();
  if (type === "password") return "••••••••";
  if (type === "reference") {
    const option = options.find((each) => each.id === value);
    return option ? option.label : "–";
  }
  return String(value);
}

/** Less than zero when `a` comes first. Missing values come last. */
export function compared(a, b, type) {
  const missing = [a, b].map((value) => value === undefined || value === null || value === "");
  if (missing[0] || missing[1]) return Number(missing[0]) - Number(missing[1]);
  if (NUMBER_TYPES.has(type) || type === "boolean") return Number(a) - Number(b);
  return String(a).localeCompare(String(b));
}

/** Rows in which some value contains the words of `query`. */
export function matching(rows, query) {
  const wanted = query.trim().toLowerCase();
  if (wanted === "") return rows;
  return rows.filter((row) =>
    Object.values(row).some((value) => String(value).toLowerCase().includes(wanted)),
  );
}

/** What is wrong with `values`, by field; empty when nothing is. */
export function faults(values, fields) {
  const found = {};
  for (const { name, label, type, required } of fields) {
    const value = values[name];
    const isEmpty = value === undefined || value === null || value === "";
    if (required && isEmpty) found[name] = `${label} is needed.`;
    else if (!isEmpty && type === "email" && !/^[^\s@]+@[^\s@]+$/.test(value))
      found[name] = `${label} must be an address like ada@example.com.`;
    else if (!isEmpty && NUMBER_TYPES.has(type) && !Number.isFinite(Number(value)))
      found[name] = `${label} must be a number.`;
    else if (!isEmpty && type === "integer" && !Number.isInteger(Number(value)))
      found[name] = `${label} must be a whole number.`;
  }
  return found;
}

/** Rows as comma-separated values (RFC 4180). A formula of a spreadsheet stays text. */
export function csv(rows, columns) {
  const cell = (value) => {
    const text = value === undefined || value === null ? "" : String(value);
    const safe = /^[=+\-@]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text;
    return `"${safe.replaceAll('"', '""')}"`;
  };
  const lines = [columns.map((column) => cell(column.label))];
  for (const row of rows) lines.push(columns.map((column) => cell(row[column.name])));
  return lines.map((line) => line.join(",")).join("\r\n");
}

/** How many rows have each value of a field, the most frequent first. */
export function counted(rows, name) {
  const counts = new Map();
  for (const row of rows) counts.set(row[name], (counts.get(row[name]) ?? 0) + 1);
  return [...counts.entries()].sort((a, b) => b[1] - a[1]);
}

/** The sum of a field. */
export function total(rows, name) {
  return rows.reduce((sum, row) => sum + (Number(row[name]) || 0), 0);
}

/** Give the reader a file. */
export function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
