import { useState } from "react";
import «component» from "./components/«component».jsx";
«?!form»import { SEED } from "./seed.js";

/** Shows the component with rows to begin with. */
export default function App() {
«?collection»  const [rows, setRows] = useState(SEED.«table»);
«?detail»  const [row, setRow] = useState(SEED.«table»[0]);
«?dashboard»  const [tables] = useState(SEED);
«?form»  const [saved, setSaved] = useState(false);

  return (
    <main className="content">
«?collection»      <«component»
«?collection»        rows={rows}
«?collection»        onDelete={({ id }) => setRows(rows.filter((each) => each.id !== id))}
«?collection»      />
«?form»      <«component» onSave={() => setSaved(true)} />
«?form»      {saved && <p className="hint">Saved.</p>}
«?detail»      <«component» row={row} onDelete={() => setRow(SEED.«table»[1])} />
«?dashboard»      <«component» tables={tables} />
    </main>
  );
}
