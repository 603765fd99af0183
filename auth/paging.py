"""What callers send to name and list rows: ids that PostgreSQL can take, pages of a bounded size.

Place in the path: under every repository of this package that tenants reach by id.
"""

from core.errors import NotFound

MAX_PAGE = 100


def known_id(identifier: str) -> str:
    """An id as PostgreSQL can take it; anything else names nothing. Raises NotFound."""
    if not identifier.isascii() or not identifier.isprintable():
        raise NotFound("no such id")
    return identifier


def page_size(limit: int) -> int:
    """How many rows a page has at most."""
    return max(1, min(limit, MAX_PAGE))
