"""Grammars of tree-sitter, loaded when first needed.

Place in the path: inside the app builder, under `syntax` and the reviews. The gateway imports the
builder's spec and must not load them.
"""

from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Language, Tree

Grammar = Literal["javascript", "typescript", "tsx", "html", "css"]
BY_END: dict[str, Grammar] = {
    "js": "javascript",
    "jsx": "javascript",
    "mjs": "javascript",
    "cjs": "javascript",
    "ts": "typescript",
    "tsx": "tsx",
    "html": "html",
    "vue": "html",
    "css": "css",
}


@cache
def language(grammar: Grammar) -> "Language":
    """The compiled grammar."""
    import tree_sitter_css
    import tree_sitter_html
    import tree_sitter_javascript
    import tree_sitter_typescript
    from tree_sitter import Language

    makers = {
        "javascript": tree_sitter_javascript.language,
        "typescript": tree_sitter_typescript.language_typescript,
        "tsx": tree_sitter_typescript.language_tsx,
        "html": tree_sitter_html.language,
        "css": tree_sitter_css.language,
    }
    return Language(makers[grammar]())


def parsed(grammar: Grammar, source: bytes) -> "Tree":
    """The syntax tree; what cannot be parsed is an error node in it."""
    from tree_sitter import Parser

    return Parser(language(grammar)).parse(source)
