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
from graphs.app_builder.sources import Part, walk

if TYPE_CHECKING:
    from tree_sitter import Node

USES = (
    "identifier",
    "shorthand_property_identifier",
    "shorthand_property_identifier_pattern",
    "type_identifier",
    "jsx_identifier",
)
WORD = re.compile(r"[A-Za-z_$][\w$-]*")


def unused_names(path: str, part: Part, root: "Node", elsewhere: str = "") -> Iterator[Finding]:
    """Declared names that stand nowhere else in the part, nor in `elsewhere` (a Vue template)."""
    nodes = list(walk(root))
    counts = Counter(text_of(node) for node in nodes if node.type in USES)
    words = {word.lower().replace("-", "") for word in WORD.findall(elsewhere)}
    for node in nodes:
        for name in _declared(node):
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
    """Names that a node brings into its file, unless it exports them."""
    if node.parent is not None and _is_exported(node):
        return
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
    for node in walk(pattern):
        is_default = node.parent is not None and node.parent.type in (
            "assignment_pattern",
            "object_assignment_pattern",
        )
        if is_default and node.parent is not None and node != node.parent.named_children[0]:
            continue
        if node.type in ("identifier", "shorthand_property_identifier_pattern"):
            yield node


def _is_exported(node: "Node") -> bool:
    above = node.parent
    while above is not None and above.type in ("lexical_declaration", "variable_declaration"):
        above = above.parent
    return above is not None and above.type == "export_statement"
