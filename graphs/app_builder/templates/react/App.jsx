import { useState } from "react";
import { useStore } from "./store.js";
«imports»

const VIEWS = [
  «views»
];

/** «title»: one page at a time. */
export default function App() {
  const store = useStore();
  const [view, setView] = useState(VIEWS[0].id);

  return (
    <>
      <header className="top">
        <h1>«title»</h1>
        <nav className="tabs">
          {VIEWS.map(({ id, label }) => (
            <button
              key={id}
              type="button"
              aria-current={id === view ? "page" : undefined}
              onClick={() => setView(id)}
            >
              {label}
            </button>
          ))}
        </nav>
      </header>
      <main className="content">
        «pages»
      </main>
    </>
  );
}
