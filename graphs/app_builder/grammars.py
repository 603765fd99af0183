"""Grammars of tree-sitter, loaded when first needed.

Place in the path: inside the app builder, under `syntax` and the reviews. The gateway imports the
builder's spec and must not load them.
"""

import time
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Language, Parser, Tree

LONGEST_S = 3.0
"""For one part. Real files take milliseconds; what nobody closes takes the square of its length."""
SHORT = 2**13
"""Bytes that take no time, whatever they are."""
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


class TooLongError(ValueError):
    """Reading a part took longer than any file is worth."""


def parsed(grammar: Grammar, source: bytes) -> "Tree":
    """The syntax tree; what cannot be parsed is an error node in it. Raises TooLongError."""
    from tree_sitter import Parser

    parser = Parser(language(grammar))
    if len(source) > SHORT:
        _require_end(parser, source)
    return parser.parse(source)


def _require_end(parser: "Parser", source: bytes) -> None:
    """Raise TooLongError unless it is parsed in time.

    Only a source that is read piece by piece can be left, and its tree does not know its text.
    """
    until = time.monotonic() + LONGEST_S
    try:
        parser.parse(
            lambda offset, _: source[offset : offset + SHORT],
            encoding="utf8",
            progress_callback=lambda *_: time.monotonic() > until,
        )
    except ValueError as error:
        raise TooLongError from error
    finally:
        parser.reset()
