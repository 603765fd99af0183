"""Names that are declared and never used, in JavaScript and TypeScript.

Place in the path: inside a review. It counts names without their scopes, so it misses some and
invents none: a name that is written anywhere else counts as used.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from graphs.app_builder.review.findings import Finding, Severity
from graphs.app_builder.review.javascript import text_of
from graphs.app_builder.sources import Part, walk, walk_with_parents

if TYPE_CHECKING:
    from tree_sitter import Node

USES = (
    "identifier",
    "shorthand_property_identifier",
    "shorthand_property_identifier_pattern",
    "type_identifier",
    "jsx_identifier",
)
DEFAULTS = ("assignment_pattern", "object_assignment_pattern")
WORD = re.compile(r"[A-Za-z_$][\w$-]*")


def unused_names(path: str, part: Part, root: "Node", elsewhere: str = "") -> Iterator[Finding]:
    """Declared names that stand nowhere else in the part, nor in `elsewhere` (a Vue template)."""
    lines = list(walk_with_parents(root))
    counts = Counter(text_of(node) for node, *_ in lines if node.type in USES)
    words = {word.lower().replace("-", "") for word in WORD.findall(elsewhere)}
    for node, *above in lines:
        for name in () if _is_exported(above) else _declared(node):
            text = text_of(name)
            is_used = counts[text] > 1 or text.lower() in words or text.startswith("_")
            if not is_used:
                yield Finding(
                    "unused-name",
                    Severity.LOW,
                    path,
                    *part.place(name),
                    f"'{text[:60]}' is declared and never used",
                )


def _declared(node: "Node") -> "Iterator[Node]":
    """Names that a node brings into its file."""
    name = node.child_by_field_name("name")
    if node.type == "import_clause":
        yield from (child for child in node.named_children if child.type == "identifier")
    elif name is None:
        return
    elif node.type == "variable_declarator":
        yield from _bound(name)
    elif node.type == "import_specifier":
        yield node.child_by_field_name("alias") or name
    elif node.type in ("function_declaration", "class_declaration"):
        yield name


def _bound(pattern: "Node") -> "Iterator[Node]":
    """The names in the left side of a declaration. Those that take the rest away are left out."""
    if any(node.type == "rest_pattern" for node in walk(pattern)):
        return
    for node, *above in walk_with_parents(pattern):
        is_default = bool(above) and above[0].type in DEFAULTS and node != above[0].children[0]
        if not is_default and node.type in ("identifier", "shorthand_property_identifier_pattern"):
            yield node


def _is_exported(above: "list[Node]") -> bool:
    """Whether a declaration stands in an `export`."""
    inner = [node.type for node in above]
    while inner and inner[0] in ("lexical_declaration", "variable_declaration"):
        inner.pop(0)
    return bool(inner) and inner[0] == "export_statement"
