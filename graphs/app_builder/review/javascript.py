"""Rules for JavaScript and TypeScript, with JSX.

Place in the path: inside a review, for files of these languages and scripts inside HTML and Vue.
Each rule looks at one node of the syntax tree. They know no types: what needs them is not here.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from graphs.app_builder.review.findings import Finding, Severity
from graphs.app_builder.sources import Part, walk, walk_with_parents

if TYPE_CHECKING:
    from tree_sitter import Node

Said: TypeAlias = tuple[str, Severity, str]
Rule: TypeAlias = "Callable[[Node], Said | None]"

HTML_PROPERTIES = ("innerHTML", "outerHTML")
FUNCTIONS = ("arrow_function", "function_expression")
JSX = ("jsx_element", "jsx_self_closing_element")
TIMERS = ("setTimeout", "setInterval")
SQL = re.compile(
    r"^[`\"']\s*(?:select\s[^;]{1,2000}\sfrom\s|insert\s+into\s|update\s+\S+\s+set\s"
    r"|delete\s+from\s)",
    re.IGNORECASE,
)
PIECES = ("binary_expression", "template_string")
WHOLES = ("binary_expression", "call_expression")
"""Around pieces: a longer piece, or a tag, which makes a template one with parameters."""
LONGEST_NODE = 10_000
"""Bytes: nodes lie inside each other, and each would be copied."""


def findings(path: str, part: Part, root: "Node") -> Iterator[Finding]:
    """What the rules say of one part."""
    for node, *above in walk_with_parents(root):
        around = above[0].type if above else ""
        rules = RULES.get(node.type, ())
        if node.type in PIECES and around not in WHOLES:
            rules = (*rules, _built_sql)
        for rule in rules:
            said = rule(node)
            if said is not None:
                yield Finding(said[0], said[1], path, *part.place(node), said[2])


def text_of(node: "Node | None") -> str:
    """The source of a node; empty for none, and for one too long to be a name or a statement."""
    if node is None or node.end_byte - node.start_byte > LONGEST_NODE:
        return ""
    return (node.text or b"").decode("utf-8", "replace")


def _arguments(node: "Node") -> "list[Node]":
    found = node.child_by_field_name("arguments")
    return [] if found is None else list(found.named_children)


def _property(node: "Node | None") -> str:
    """`write` of `document.write`; empty for anything else."""
    if node is None or node.type != "member_expression":
        return ""
    return text_of(node.child_by_field_name("property"))


def _code_from_text(node: "Node") -> Said | None:
    function = text_of(node.child_by_field_name("function"))
    arguments = _arguments(node)
    is_late = (
        function in TIMERS and arguments and arguments[0].type in ("string", "template_string")
    )
    if function not in ("eval", "window.eval") and not is_late:
        return None
    return "no-eval", Severity.HIGH, f"{function} runs text as code: whoever writes it, runs it"


def _new_function(node: "Node") -> Said | None:
    if text_of(node.child_by_field_name("constructor")) != "Function":
        return None
    return "no-eval", Severity.HIGH, "new Function runs text as code: whoever writes it, runs it"


def _markup_call(node: "Node") -> Said | None:
    name = _property(node.child_by_field_name("function"))
    owner = text_of(node.child_by_field_name("function"))
    arguments = _arguments(node)
    fixed = all(argument.type == "string" for argument in arguments)
    if name == "insertAdjacentHTML" or owner in ("document.write", "document.writeln"):
        severity = Severity.LOW if fixed else Severity.HIGH
        return "no-raw-html", severity, f"{name} takes markup: text of others becomes script"
    return None


def _markup_assigned(node: "Node") -> Said | None:
    name = _property(node.child_by_field_name("left"))
    right = node.child_by_field_name("right")
    if name not in HTML_PROPERTIES or (right is not None and right.type == "string"):
        return None
    message = f"{name} takes markup: text of others becomes script. Use textContent"
    return "no-raw-html", Severity.HIGH, message


def _dangerous_attribute(node: "Node") -> Said | None:
    name, *rest = [text_of(child) for child in node.named_children]
    if name == "dangerouslySetInnerHTML":
        return "no-raw-html", Severity.HIGH, "markup is not escaped here: text becomes script"
    if name in ("href", "src") and rest and re.match(r"[\"'{]*\s*javascript:", rest[0], re.I):
        return "no-script-url", Severity.HIGH, "a javascript: address runs code"
    return None


def _opened_element(node: "Node") -> Said | None:
    name = text_of(node.child_by_field_name("name"))
    given = {text_of(child.named_children[0]): text_of(child) for child in _attributes(node)}
    if name == "a" and "_blank" in given.get("target", "") and "rel" not in given:
        return "blank-target", Severity.LOW, 'target="_blank" without rel="noopener"'
    spread = any(child.type == "jsx_expression" for child in node.named_children)
    if name == "img" and "alt" not in given and not spread:
        return "alt-text", Severity.LOW, "an image without alt says nothing to screen readers"
    return None


def _attributes(node: "Node") -> "list[Node]":
    return [child for child in node.named_children if child.type == "jsx_attribute"]


def _missing_key(node: "Node") -> Said | None:
    if _property(node.child_by_field_name("function")) not in ("map", "flatMap"):
        return None
    arguments = _arguments(node)
    if not arguments or arguments[0].type not in FUNCTIONS:
        return None
    made = _returned(arguments[0])
    if made is None or made.type not in JSX:
        return None
    opened = made if made.type == "jsx_self_closing_element" else made.named_children[0]
    names = [text_of(child.named_children[0]) for child in _attributes(opened)]
    spread = any(child.type == "jsx_expression" for child in opened.named_children)
    if "key" in names or spread:
        return None
    return "missing-key", Severity.MEDIUM, "elements of a list need a key that stays with the item"


def _returned(function: "Node") -> "Node | None":
    """What a function gives back, if it is one expression or the last statement says it."""
    body = function.child_by_field_name("body")
    if body is not None and body.type == "statement_block":
        last = [child for child in body.named_children if child.type == "return_statement"]
        body = last[-1].named_children[0] if last and last[-1].named_children else None
    while body is not None and body.type == "parenthesized_expression":
        body = next((child for child in body.named_children if child.type != "comment"), None)
    return body


def _loose_equality(node: "Node") -> Said | None:
    operator = text_of(node.child_by_field_name("operator"))
    sides = [node.child_by_field_name(side) for side in ("left", "right")]
    if operator not in ("==", "!=") or any(
        side is not None and side.type == "null" for side in sides
    ):
        return None
    return "loose-equality", Severity.LOW, f"'{operator}' converts its sides: use '{operator}='"


def _built_sql(node: "Node") -> Said | None:
    """A statement put together from pieces."""
    if not SQL.match(text_of(node)) or not _has_pieces(node):
        return None
    message = "SQL is built from pieces: send values as parameters instead"
    return "sql-injection", Severity.CRITICAL, message


def _has_pieces(node: "Node") -> bool:
    if node.type == "template_string":
        return any(child.type == "template_substitution" for child in node.children)
    if text_of(node.child_by_field_name("operator")) != "+":
        return False
    leaves = [each for each in walk(node) if not each.named_children]
    return any(leaf.type in ("identifier", "property_identifier") for leaf in leaves)


def _empty_catch(node: "Node") -> Said | None:
    body = node.child_by_field_name("body")
    if body is None or body.named_children:
        return None
    return "empty-catch", Severity.MEDIUM, "the error is lost: handle it, or say why not"


def _assigned_condition(node: "Node") -> Said | None:
    condition = node.child_by_field_name("condition")
    inner = condition.named_children if condition is not None else []
    if not inner or inner[0].type != "assignment_expression":
        return None
    return "assigned-condition", Severity.MEDIUM, "'=' in a condition assigns: is '===' meant?"


def _debugger(node: "Node") -> Said | None:
    del node
    return "debugger", Severity.MEDIUM, "debugger stops the program in browsers"


def _var(node: "Node") -> Said | None:
    return (
        ("no-var", Severity.INFO, "var is seen in the whole function: use const or let")
        if (text_of(node).startswith("var"))
        else None
    )


def _console(node: "Node") -> Said | None:
    if text_of(node.child_by_field_name("function")) not in ("console.log", "console.debug"):
        return None
    return "console-log", Severity.INFO, "a message for developers is left in"


def _effect(node: "Node") -> Said | None:
    function = text_of(node.child_by_field_name("function")).rpartition(".")[2]
    if function not in ("useEffect", "useLayoutEffect") or len(_arguments(node)) != 1:
        return None
    return "effect-always", Severity.LOW, f"{function} without a list runs after every render"


RULES: dict[str, tuple[Rule, ...]] = {
    "call_expression": (_code_from_text, _markup_call, _missing_key, _console, _effect),
    "new_expression": (_new_function,),
    "assignment_expression": (_markup_assigned,),
    "jsx_attribute": (_dangerous_attribute,),
    "jsx_opening_element": (_opened_element,),
    "jsx_self_closing_element": (_opened_element,),
    "binary_expression": (_loose_equality,),
    "catch_clause": (_empty_catch,),
    "if_statement": (_assigned_condition,),
    "while_statement": (_assigned_condition,),
    "debugger_statement": (_debugger,),
    "variable_declaration": (_var,),
}
