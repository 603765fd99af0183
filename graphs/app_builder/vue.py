"""A plan as a Vue project.

Place in the path: inside the app builder, one of two ways to write files (`react` is the other).
"""

from graphs.app_builder.fragments import INPUT_TYPES, NUMBERS, input_id, step
from graphs.app_builder.plan import Entity, PlanField

END = "vue"
NAME = "Vue"
MAIN = "main.js"


def inputs(entity: Entity) -> str:
    """The labelled inputs of a form."""
    return "\n".join(_input(entity, field) for field in entity.fields)


def facts(entity: Entity) -> str:
    """Name and value of every field that is not the heading."""
    told = (field for field in entity.fields if field != entity.heading)
    return "\n".join(
        f"<div>\n  <dt>{field.label}</dt>\n  <dd>{{{{ {shown(field)} }}}}</dd>\n</div>"
        for field in told
    )


def shown(field: PlanField) -> str:
    """The expression that shows a field of `row`."""
    options = f", options.{field.references}" if field.references else ""
    return f'shown(row.{field.name}, "{field.type}"{options})'


def option(field: PlanField, table: str, label: str) -> str:
    """The rows that a reference chooses from."""
    return f'{field.references}: choices("{table}", "{label}"),'


def page(view: str, component: str, *, is_dashboard: bool = False) -> str:
    """What the app shows for one of its views."""
    given = ' :tables="tables"' if is_dashboard else ""
    return f"<{component} v-if=\"view === '{view}'\"{given} />"


def _input(entity: Entity, field: PlanField) -> str:
    name, label, model = input_id(entity, field), field.label, f"values.{field.name}"
    if field.type == "boolean":
        return "\n".join(
            (
                '<div class="field check">',
                f'  <input id="{name}" v-model="{model}" type="checkbox" />',
                f'  <label for="{name}">{label}</label>',
                "</div>",
            )
        )
    return "\n".join(
        (
            '<div class="field">',
            f'  <label for="{name}">{label}</label>',
            *(f"  {line}" for line in _control(field, f'id="{name}" v-model="{model}"')),
            f'  <p v-if="errors.{field.name}" class="error">{{{{ errors.{field.name} }}}}</p>',
            "</div>",
        )
    )


def _control(field: PlanField, bound: str) -> list[str]:
    if field.type == "long_text":
        return [f'<textarea {bound} rows="4"></textarea>']
    if field.type == "choice":
        options = [f"  <option>{choice}</option>" for choice in field.choices]
        return [f"<select {bound}>", *options, "</select>"]
    if field.type == "reference":
        each = f'v-for="option in options.{field.references}" :key="option.id" :value="option.id"'
        return [
            f"<select {bound}>",
            '  <option value="">-</option>',
            f"  <option {each}>{{{{ option.label }}}}</option>",
            "</select>",
        ]
    stepped = f' step="{step(field)}"' if field.type in NUMBERS else ""
    return [f'<input {bound} type="{INPUT_TYPES[field.type]}"{stepped} />']
