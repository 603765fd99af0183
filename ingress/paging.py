"""Pages of lists, as requests ask for them: `after`, `limit` and `order`.

Place in the path: step 1, for every list. It reads the query; rows are the books'.
"""

from typing import NamedTuple

from core.errors import InvalidRequest
from ingress.exchange import Exchange

DEFAULT_PAGE = "20"
MAX_PAGE = 100
NEWEST_FIRST, OLDEST_FIRST = "desc", "asc"


class PageQuery(NamedTuple):
    """Which part of a list is asked for."""

    after: str | None
    """Id of the last item of the page before."""
    limit: int
    oldest_first: bool


def page_of(exchange: Exchange) -> PageQuery:
    """The page of a list that has both orders, newest first. Raises InvalidRequest."""
    order = exchange.http.query_params.get("order", NEWEST_FIRST)
    if order not in (NEWEST_FIRST, OLDEST_FIRST):
        raise InvalidRequest("'order' must be asc or desc", "order")
    return PageQuery(*_place(exchange), order == OLDEST_FIRST)


def ordered_page_of(exchange: Exchange) -> tuple[str | None, int]:
    """`after` and `limit` of a list that has one order, ascending. Raises InvalidRequest."""
    if exchange.http.query_params.get("order", OLDEST_FIRST) != OLDEST_FIRST:
        raise InvalidRequest("'order' must be asc: this list has no other", "order")
    return _place(exchange)


def _place(exchange: Exchange) -> tuple[str | None, int]:
    query = exchange.http.query_params
    limit = query.get("limit", DEFAULT_PAGE)
    if not limit.isdecimal() or not 1 <= int(limit[:4]) <= MAX_PAGE:
        raise InvalidRequest(f"'limit' must be between 1 and {MAX_PAGE}", "limit")
    return query.get("after"), int(limit[:4])
