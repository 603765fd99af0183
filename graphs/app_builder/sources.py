"""The parts of a file that have a language of their own: scripts and styles in HTML and Vue.

Place in the path: inside the app builder, under `syntax` and the reviews. Every part knows where it
begins, so that what is found in it is told by the lines of the file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from graphs.app_builder.grammars import BY_END, Grammar, parsed

if TYPE_CHECKING:
    from tree_sitter import Node

SCRIPT_LANGUAGES: dict[str, Grammar] = {
    "": "javascript",
    "js": "javascript",
    "jsx": "javascript",
    "ts": "typescript",
    "tsx": "tsx",
}
MOST_EXPRESSIONS = 2_000
"""Of one Vue file that are looked at."""
PARENTS = 3
"""How many nodes around each are told."""
INTERPOLATION = re.compile(rb"\{\{(.*?)\}\}", re.DOTALL)
BINDING = (":", "v-bind:")
DIRECTIVES = ("v-if", "v-else-if", "v-show", "v-text", "v-html", "v-model")
"""Attributes of Vue whose value is an expression. Those of `v-for` and of events are not."""
SCRIPT_TYPES = ("", "module", "text/javascript", "application/javascript")


@dataclass(frozen=True, slots=True)
class Part:
    """Source of one language, and where it begins in its file (row and column from zero)."""

    grammar: Grammar
    source: bytes
    row: int = 0
    column: int = 0
    is_expression: bool = False
    """Whether it is one expression, which declares nothing."""

    def place(self, node: "Node") -> tuple[int, int]:
        """Line and column of a node in the file, from one."""
        row, column = node.start_point
        return self.row + row + 1, column + (self.column if row == 0 else 0) + 1


def parts_of(path: str, text: str) -> Iterator[Part]:
    """The file itself, if it has a grammar, and what is embedded in it."""
    grammar = BY_END.get(path.rpartition(".")[2].lower())
    if grammar is None:
        return
    whole = Part(grammar, text.encode("utf-8", "replace"))
    yield whole
    if grammar == "html":
        yield from _embedded(whole)
    if path.lower().endswith(".vue"):
        yield from islice(_expressions(whole), MOST_EXPRESSIONS)


def _embedded(whole: Part) -> Iterator[Part]:
    for node in walk(parsed("html", whole.source).root_node):
        if node.type not in ("script_element", "style_element"):
            continue
        body = next((child for child in node.children if child.type == "raw_text"), None)
        grammar = _language_of(node)
        if body is not None and grammar is not None:
            row, column = body.start_point
            yield Part(grammar, body.text or b"", row, column)


def _expressions(whole: Part) -> Iterator[Part]:
    """JavaScript in a Vue template: between double braces, and in attributes that bind."""
    for node in walk(parsed("html", whole.source).root_node):
        row, column = node.start_point
        if node.type == "text":
            yield from _interpolations(node.text or b"", row, column)
        elif node.type == "attribute" and len(node.named_children) > 1:
            name = (node.named_children[0].text or b"").decode()
            value = _unquoted(node.named_children[1])
            start = node.named_children[1].start_point
            if name.startswith(BINDING) or name in DIRECTIVES:
                yield Part(
                    "javascript", b"(" + value + b")", start.row, start.column, is_expression=True
                )


def _interpolations(text: bytes, row: int, column: int) -> Iterator[Part]:
    seen = 0
    for match in INTERPOLATION.finditer(text):
        start = match.start(1)
        row += text.count(b"\n", seen, start)
        newline = text.rfind(b"\n", seen, start)
        column = start - newline - 1 if newline >= 0 else column + start - seen
        seen = start
        source = b"(" + match.group(1) + b")"
        yield Part("javascript", source, row, column - 1, is_expression=True)


def _language_of(node: "Node") -> Grammar | None:
    given = attributes_of(node.children[0])
    if node.type == "style_element":
        return "css" if given.get("lang", "css") == "css" else None
    if given.get("type", "") not in SCRIPT_TYPES:
        return None
    return SCRIPT_LANGUAGES.get(given.get("lang", ""))


def attributes_of(tag: "Node") -> dict[str, str]:
    """The attributes of a start tag; one without a value is empty."""
    found: dict[str, str] = {}
    for attribute in tag.children:
        if attribute.type != "attribute":
            continue
        name, *rest = attribute.named_children
        value = _unquoted(rest[0]) if rest else b""
        found[(name.text or b"").decode()] = value.decode("utf-8", "replace")
    return found


def _unquoted(value: "Node") -> bytes:
    text = value.text or b""
    return text[1:-1] if value.type == "quoted_attribute_value" else text


def walk(root: "Node") -> Iterator["Node"]:
    """Every node, in the order of the text. No recursion: sources may be nested deeply."""
    return (line[0] for line in walk_with_parents(root))


def walk_with_parents(root: "Node") -> Iterator[tuple["Node", ...]]:
    """Every node with the few that are around it, the nearest first.

    A node's own `parent` is found from the root each time, which deep sources make slow.
    """
    left: list[tuple[Node, ...]] = [(root,)]
    while left:
        line = left.pop()
        yield line
        above = line[:PARENTS]
        left.extend((child, *above) for child in reversed(line[0].children))
