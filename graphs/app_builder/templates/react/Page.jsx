import { useState } from "react";
import «collection» from "../components/«collection».jsx";
import «detail» from "../components/«detail».jsx";
«?create|edit»import «form» from "../components/«form».jsx";

/** «plural_label»: all of them, one of them, or a form. */
export default function «page»({ store }) {
  const [open, setOpen] = useState({ as: "all" });
«?references»  const options = {
«?references»    «options»
«?references»  };
  const row = store.tables.«table».find((each) => each.id === open.id);
  const back = () => setOpen({ as: "all" });
«?delete»  const remove = (gone) => {
«?delete»    if (window.confirm(`Delete ${gone.«heading»}?`)) store.remove("«table»", gone.id);
«?delete»    back();
«?delete»  };

«?create|edit»  if (open.as === "form") {
«?create|edit»    return (
«?create|edit»      <«form»
«?create|edit»        value={row}
«?create&references|edit&references»        options={options}
«?create|edit»        onSave={(values) => {
«?create|edit»          store.save("«table»", values);
«?create|edit»          back();
«?create|edit»        }}
«?create|edit»        onCancel={back}
«?create|edit»      />
«?create|edit»    );
«?create|edit»  }
  if (open.as === "one" && row !== undefined) {
    return (
      <«detail»
        row={row}
«?references»        options={options}
        onBack={back}
«?edit»        onEdit={() => setOpen({ as: "form", id: row.id })}
«?delete»        onDelete={() => remove(row)}
      />
    );
  }
  return (
    <«collection»
      rows={store.tables.«table»}
«?references»      options={options}
«?create»      onAdd={() => setOpen({ as: "form" })}
      onOpen={({ id }) => setOpen({ as: "one", id })}
«?edit»      onEdit={({ id }) => setOpen({ as: "form", id })}
«?delete»      onDelete={remove}
    />
  );
}
