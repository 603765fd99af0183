"""A plan as one HTML page that works by itself: the static build.

Place in the path: inside the app builder; previews show it, deployments publish it. One script and
one style, whose hashes are all that the page's own policy lets run: no network, no other code. The
plan and its rows are data in it. It looks and acts as the React and Vue files of the same plan do,
and keeps rows only as long as the page is open.
"""

import base64
import hashlib
import html
import re
from functools import cache
from typing import Any

import orjson

from graphs.app_builder import samples
from graphs.app_builder.fragments import shown_fields
from graphs.app_builder.plan import Entity, Plan
from graphs.app_builder.project import collection_of
from graphs.app_builder.templates import fill

EXPORT = re.compile(r"^export (?=function|const)", re.MULTILINE)


def static_page(plan: Plan, *, is_component: bool) -> str:
    """The page. Its policy is in it (CSP, by hash), so it holds wherever the page is served."""
    script, style = _script(), fill("shared/styles.css", set(), {})
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    values = {
        "policy": policy,
        "title": html.escape(plan.title),
        "style": style,
        "script": script,
        "data": _data(plan, is_component=is_component),
    }
    text = fill("page/page.html", set(), dict.fromkeys(values, "\ue000"))
    parts = text.split("\ue000")
    order = ("policy", "title", "style", "data", "script")
    filled = "".join(part + values[name] for part, name in zip(parts, order, strict=False))
    return filled + parts[-1]


@cache
def _script() -> str:
    """The runtime, and how values are shown: the same code as in the projects."""
    shared = EXPORT.sub("", fill("shared/format.js", set(), {}))
    return f'\n"use strict";\n(() => {{\n{shared}\n{fill("page/runtime.js", set(), {})}}})();\n'


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _data(plan: Plan, *, is_component: bool) -> str:
    """Plan and rows as JSON that cannot end its element."""
    document = {
        "title": plan.title,
        "isComponent": is_component,
        "views": [view.kind for view in plan.views],
        "actions": list(plan.actions),
        "entities": [_entity(plan, entity) for entity in plan.entities],
        "rows": samples.rows(plan),
    }
    return orjson.dumps(document).decode().replace("<", "\\u003c")


def _entity(plan: Plan, entity: Entity) -> dict[str, Any]:
    return {
        "name": entity.name,
        "table": entity.plural,
        "label": entity.label,
        "pluralLabel": entity.plural_label,
        "heading": entity.heading.name,
        "columns": [field.name for field in shown_fields(entity)],
        "collection": collection_of(plan, entity),
        "fields": [
            field.model_dump(exclude_defaults=True) | {"type": field.type}
            for field in entity.fields
        ],
    }
