"""Rules for HTML and for the templates of Vue.

Place in the path: inside a review. Scripts inside are `javascript`'s.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from graphs.app_builder.review.findings import Finding, Severity
from graphs.app_builder.sources import Part, attributes_of, walk

if TYPE_CHECKING:
    from tree_sitter import Node

TAGS = ("start_tag", "self_closing_tag")
KEYS = (":key", "v-bind:key", "key")


def findings(path: str, part: Part, root: "Node") -> Iterator[Finding]:
    """What the rules say of every tag."""
    for node in walk(root):
        if node.type in TAGS:
            name = next((c.text or b"" for c in node.children if c.type == "tag_name"), b"")
            for rule, severity, message in _of_tag(name.decode().lower(), attributes_of(node)):
                yield Finding(rule, severity, path, *part.place(node), message)


def _of_tag(name: str, given: dict[str, str]) -> Iterator[tuple[str, Severity, str]]:
    if "v-html" in given:
        yield "no-raw-html", Severity.HIGH, "v-html is not escaped: text of others becomes script"
    if "v-for" in given and not any(key in given for key in KEYS) and name != "template":
        yield "missing-key", Severity.MEDIUM, "elements of v-for need a :key"
    if "v-for" in given and "v-if" in given:
        yield "for-with-if", Severity.MEDIUM, "v-if beside v-for cannot see the item: nest them"
    if any(key.startswith("on") for key in given):
        yield "inline-handler", Severity.LOW, "a handler in markup needs a policy that allows any"
    if any(value.strip().lower().startswith("javascript:") for value in given.values()):
        yield "no-script-url", Severity.HIGH, "a javascript: address runs code"
    yield from _of_element(name, given)


def _of_element(name: str, given: dict[str, str]) -> Iterator[tuple[str, Severity, str]]:
    source = given.get("src", "")
    if name == "a" and given.get("target") == "_blank" and "rel" not in given:
        yield "blank-target", Severity.LOW, 'target="_blank" without rel="noopener"'
    if name == "img" and "alt" not in given and ":alt" not in given:
        yield "alt-text", Severity.LOW, "an image without alt says nothing to screen readers"
    if (
        name == "script"
        and source.startswith(("http:", "https:", "//"))
        and "integrity" not in given
    ):
        yield "no-integrity", Severity.MEDIUM, "foreign code without integrity can change"
    if name == "iframe" and "sandbox" not in given:
        yield "frame-sandbox", Severity.LOW, "a frame without sandbox may do what the page may"
