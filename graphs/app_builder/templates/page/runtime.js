// Shows a plan: tabs, collections, forms, details and a dashboard, made of plain elements. Values
// become text nodes and attributes, never markup.

const plan = JSON.parse(document.getElementById("plan").textContent);
const tables = structuredClone(plan.rows);
const byName = new Map(plan.entities.map((entity) => [entity.name, entity]));
const root = document.getElementById("root");
const INPUTS = {
  text: "text",
  password: "password",
  email: "email",
  phone: "tel",
  url: "url",
  date: "date",
  datetime: "datetime-local",
  integer: "number",
  number: "number",
  money: "number",
};
const NUMBERS = ["integer", "number", "money"];
const can = (action) => plan.actions.includes(action);
let nextId = 1;

/** An element with attributes, listeners (`on…`) and children; what is undefined is left out. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== undefined && value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children.flat().filter((child) => child !== undefined));
  return made;
}

function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

function fieldOf(entity, name) {
  return entity.fields.find((field) => field.name === name);
}

function optionsOf(field) {
  const target = byName.get(field.references);
  if (target === undefined) return [];
  return tables[target.table].map((row) => ({ id: row.id, label: String(row[target.heading]) }));
}

function told(row, field) {
  return shown(row[field.name], field.type, optionsOf(field));
}

function save(entity, row) {
  const rows = tables[entity.table];
  if (row.id === undefined) tables[entity.table] = [...rows, { ...row, id: `new-${nextId++}` }];
  else tables[entity.table] = rows.map((each) => (each.id === row.id ? row : each));
}

function rowButtons(entity, row, go) {
  const remove = () => {
    tables[entity.table] = tables[entity.table].filter((each) => each.id !== row.id);
    go({ as: "all" });
  };
  return [
    plan.isComponent ? undefined : button("Open", () => go({ as: "one", row })),
    can("edit") && !plan.isComponent ? button("Edit", () => go({ as: "form", row })) : undefined,
    can("delete") ? button("Delete", remove, { class: "danger" }) : undefined,
  ];
}

/** All rows of an entity, as a table or as cards, with what the plan lets people do. */
function collection(entity, go) {
  const columns = entity.columns.map((name) => fieldOf(entity, name));
  const state = { query: "", name: entity.heading, up: true };
  const place = element("div");
  const ordered = () => {
    const found = matching(tables[entity.table], state.query);
    if (!can("sort") || entity.collection === "list") return found;
    const { type } = fieldOf(entity, state.name);
    const sign = state.up ? 1 : -1;
    return [...found].sort((a, b) => compared(a[state.name], b[state.name], type) * sign);
  };
  const draw = () => {
    const rows = ordered();
    const body = entity.collection === "list" ? cards : table;
    place.replaceChildren(
      rows.length === 0
        ? element("p", { class: "empty" }, "Nothing to show.")
        : body(entity, columns, rows, state, draw, go),
    );
  };
  const search = (event) => {
    state.query = event.target.value;
    draw();
  };
  const bar = element(
    "div",
    { class: "toolbar" },
    element("h2", {}, entity.pluralLabel),
    can("search")
      ? element("input", { type: "search", placeholder: "Search", "aria-label": "Search", oninput: search })
      : undefined,
    can("export")
      ? button("Export", () => download(`${entity.table}.csv`, csv(ordered(), columns)))
      : undefined,
    can("create") && !plan.isComponent
      ? button("Add", () => go({ as: "form" }), { class: "primary" })
      : undefined,
  );
  draw();
  return element("section", { class: "panel" }, bar, place);
}

function table(entity, columns, rows, state, draw, go) {
  const heading = (field) => {
    if (!can("sort")) return element("th", {}, field.label);
    const sorted = state.name === field.name;
    const sort = () => {
      state.up = sorted ? !state.up : true;
      state.name = field.name;
      draw();
    };
    const order = state.up ? "ascending" : "descending";
    return element("th", { "aria-sort": sorted ? order : undefined }, button(field.label, sort));
  };
  const cell = (row, field) =>
    element("td", { class: NUMBERS.includes(field.type) ? "number" : undefined }, told(row, field));
  const line = (row) =>
    element(
      "tr",
      {},
      columns.map((field) => cell(row, field)),
      element("td", { class: "actions" }, rowButtons(entity, row, go)),
    );
  const head = element("tr", {}, columns.map(heading), element("th", { "aria-label": "Actions" }));
  const whole = element("table", {}, element("thead", {}, head), element("tbody", {}, rows.map(line)));
  return element("div", { class: "scroll" }, whole);
}

function facts(row, fields) {
  return element(
    "dl",
    { class: "facts" },
    fields.map((field) =>
      element("div", {}, element("dt", {}, field.label), element("dd", {}, told(row, field))),
    ),
  );
}

function cards(entity, columns, rows, state, draw, go) {
  const card = (row) =>
    element(
      "li",
      { class: "card" },
      element("h3", {}, told(row, columns[0])),
      facts(row, columns.slice(1)),
      element("div", { class: "toolbar" }, rowButtons(entity, row, go)),
    );
  return element("ul", { class: "cards" }, rows.map(card));
}

function detail(entity, row, go) {
  const heading = fieldOf(entity, entity.heading);
  const rest = entity.fields.filter((field) => field !== heading);
  return element(
    "article",
    { class: "panel" },
    element("h2", {}, told(row, heading)),
    facts(row, rest),
    element(
      "div",
      { class: "toolbar" },
      plan.isComponent ? undefined : button("Back", () => go({ as: "all" })),
      rowButtons(entity, row, go).slice(1),
    ),
  );
}

/** The element that takes a field's value, and how to read it. */
function control(field, id, value) {
  if (field.type === "boolean") {
    const box = element("input", { id, type: "checkbox", checked: Boolean(value) });
    return [box, () => box.checked];
  }
  let made;
  if (field.type === "long_text") made = element("textarea", { id, rows: 4 });
  else if (field.type === "choice")
    made = element("select", { id }, field.choices.map((choice) => element("option", {}, choice)));
  else if (field.type === "reference")
    made = element(
      "select",
      { id },
      element("option", { value: "" }, "–"),
      optionsOf(field).map((option) => element("option", { value: option.id }, option.label)),
    );
  else {
    const step = { integer: "1", money: "0.01", number: "any" }[field.type];
    made = element("input", { id, type: INPUTS[field.type], step });
  }
  made.value = value ?? (field.type === "choice" ? field.choices[0] : "");
  return [made, () => made.value];
}

function form(entity, row, go) {
  const readers = {};
  const places = {};
  const lines = entity.fields.map((field) => {
    const id = `${entity.name}-${field.name}`;
    const [made, read] = control(field, id, row?.[field.name]);
    readers[field.name] = read;
    places[field.name] = element("p", { class: "error" });
    const label = element("label", { for: id }, field.label);
    if (field.type === "boolean") return element("div", { class: "field check" }, made, label);
    return element("div", { class: "field" }, label, made, places[field.name]);
  });
  const saved = element("p", { class: "hint", role: "status" });
  const submit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(Object.entries(readers).map(([name, read]) => [name, read()]));
    const found = faults(values, entity.fields);
    for (const [name, place] of Object.entries(places)) place.textContent = found[name] ?? "";
    saved.textContent = "";
    if (Object.keys(found).length > 0) return;
    save(entity, { ...row, ...values });
    if (plan.isComponent) saved.textContent = "Saved.";
    else go({ as: "all" });
  };
  const bar = element(
    "div",
    { class: "toolbar" },
    element("button", { type: "submit", class: "primary" }, "Save"),
    plan.isComponent ? undefined : button("Cancel", () => go({ as: "all" })),
  );
  const title = element("h2", {}, entity.label);
  return element("form", { class: "panel form", novalidate: true, onsubmit: submit }, title, lines, bar, saved);
}

function bars(entity, field) {
  const rows = tables[entity.table];
  const lines = counted(rows, field.name).flatMap(([value, count]) => {
    const label = shown(value, field.type);
    const meter = element("meter", { min: 0, max: rows.length, "aria-label": label });
    meter.value = count;
    return [element("span", {}, label), meter, element("span", {}, String(count))];
  });
  const title = `${entity.pluralLabel} by ${field.label.toLowerCase()}`;
  return element("section", { class: "panel" }, element("h2", {}, title), element("div", { class: "bars" }, lines));
}

function dashboard() {
  const stat = (entity) => {
    const sums = entity.fields.filter((field) => field.type === "money");
    return element(
      "div",
      { class: "stat" },
      element("strong", {}, String(tables[entity.table].length)),
      entity.pluralLabel,
      sums.map((field) =>
        element("div", { class: "hint" }, `${field.label}: ${shown(total(tables[entity.table], field.name), "money")}`),
      ),
    );
  };
  const spread = (entity) =>
    entity.fields
      .filter((field) => field.type === "choice" || field.type === "boolean")
      .map((field) => bars(entity, field));
  return element(
    "div",
    {},
    element("section", { class: "panel stats" }, plan.entities.map(stat)),
    plan.entities.flatMap(spread),
  );
}

/** One entity's page: all rows, one row, or a form, whichever `where` says. */
function page(entity, place, where) {
  const go = (next) => page(entity, place, next);
  const made = {
    all: () => collection(entity, go),
    one: () => detail(entity, where.row, go),
    form: () => form(entity, where.row, go),
  };
  place.replaceChildren(made[where.as]());
}

function showComponent() {
  const [entity] = plan.entities;
  const place = element("main", { class: "content" });
  const [kind] = plan.views;
  const [row] = tables[entity.table];
  const start = { table: "all", list: "all", form: "form", detail: "one" }[kind];
  if (start === undefined) place.replaceChildren(dashboard());
  else page(entity, place, { as: start, row: kind === "detail" ? row : undefined });
  root.replaceChildren(place);
}

function showApp() {
  const place = element("main", { class: "content" });
  const views = plan.entities.map((entity) => ({
    label: entity.pluralLabel,
    show: () => page(entity, place, { as: "all" }),
  }));
  if (plan.views.includes("dashboard"))
    views.unshift({ label: "Dashboard", show: () => place.replaceChildren(dashboard()) });
  const tabs = views.map((view) => button(view.label, () => open(view)));
  const open = (view) => {
    tabs.forEach((tab, index) =>
      views[index] === view ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current"),
    );
    view.show();
  };
  const header = element(
    "header",
    { class: "top" },
    element("h1", {}, plan.title),
    element("nav", { class: "tabs" }, tabs),
  );
  root.replaceChildren(header, place);
  open(views[0]);
}

if (plan.isComponent) showComponent();
else showApp();
