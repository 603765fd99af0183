"""A plan as a React project.

Place in the path: inside the app builder, one of two ways to write files (`vue` is the other).
"""

from graphs.app_builder.fragments import INPUT_TYPES, NUMBERS, input_id, step
from graphs.app_builder.plan import Entity, PlanField

END = "jsx"
NAME = "React"
MAIN = "main.jsx"


def inputs(entity: Entity) -> str:
    """The labelled inputs of a form."""
    return "\n".join(_input(entity, field) for field in entity.fields)


def facts(entity: Entity) -> str:
    """Name and value of every field that is not the heading."""
    told = (field for field in entity.fields if field != entity.heading)
    return "\n".join(
        f"<div>\n  <dt>{field.label}</dt>\n  <dd>{{{shown(field)}}}</dd>\n</div>" for field in told
    )


def shown(field: PlanField) -> str:
    """The expression that shows a field of `row`."""
    options = f", options.{field.references}" if field.references else ""
    return f'shown(row.{field.name}, "{field.type}"{options})'


def option(field: PlanField, table: str, label: str) -> str:
    """The rows that a reference chooses from."""
    return f'{field.references}: store.choices("{table}", "{label}"),'


def page(view: str, component: str, *, is_dashboard: bool = False) -> str:
    """What the app shows for one of its views."""
    given = "tables={store.tables}" if is_dashboard else "store={store}"
    return f'{{view === "{view}" && <{component} {given} />}}'


def _input(entity: Entity, field: PlanField) -> str:
    name, label = input_id(entity, field), field.label
    told = f'{{errors.{field.name} && <p className="error">{{errors.{field.name}}}</p>}}'
    change = f'onChange={{(event) => set("{field.name}", event.target.value)}}'
    if field.type == "boolean":
        return "\n".join(
            (
                '<div className="field check">',
                "  <input",
                f'    id="{name}"',
                '    type="checkbox"',
                f"    checked={{values.{field.name}}}",
                f'    onChange={{(event) => set("{field.name}", event.target.checked)}}',
                "  />",
                f'  <label htmlFor="{name}">{label}</label>',
                "</div>",
            )
        )
    bound = f'id="{name}" value={{values.{field.name}}} {change}'
    return "\n".join(
        (
            '<div className="field">',
            f'  <label htmlFor="{name}">{label}</label>',
            *(f"  {line}" for line in _control(field, bound)),
            f"  {told}",
            "</div>",
        )
    )


def _control(field: PlanField, bound: str) -> list[str]:
    if field.type == "long_text":
        return [f"<textarea {bound} rows={{4}} />"]
    if field.type == "choice":
        options = [f"  <option>{choice}</option>" for choice in field.choices]
        return [f"<select {bound}>", *options, "</select>"]
    if field.type == "reference":
        return [
            f"<select {bound}>",
            '  <option value="">-</option>',
            f"  {{(options.{field.references} ?? []).map((option) => (",
            "    <option key={option.id} value={option.id}>",
            "      {option.label}",
            "    </option>",
            "  ))}",
            "</select>",
        ]
    stepped = f' step="{step(field)}"' if field.type in NUMBERS else ""
    return [f'<input type="{INPUT_TYPES[field.type]}"{stepped} {bound} />']
