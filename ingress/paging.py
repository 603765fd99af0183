"""Pages of lists, as requests ask for them: `after`, `limit` and `order`.

Place in the path: step 1, for every list. Each type is both what parses a query and what the
OpenAPI document says of it; rows are the books'.
"""

from typing import Literal

from pydantic import BaseModel, Field

from ingress.exchange import Exchange

DEFAULT_PAGE = 20
MAX_PAGE = 100


class Place(BaseModel):
    """Which part of a list is asked for."""

    after: str | None = None
    """Id of the last item of the page before."""
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class Page(Place):
    """A page of a list that has both orders."""

    order: Literal["asc", "desc"] = "desc"

    @property
    def oldest_first(self) -> bool:
        return self.order == "asc"


class AscendingPage(Place):
    """A page of a list that has one order."""

    order: Literal["asc"] = "asc"


def page_of(exchange: Exchange) -> Page:
    """The page of a list that has both orders, newest first. Raises InvalidRequest."""
    return exchange.query(Page)


def ordered_page_of(exchange: Exchange) -> tuple[str | None, int]:
    """`after` and `limit` of a list that has one order, ascending. Raises InvalidRequest."""
    asked = exchange.query(AscendingPage)
    return asked.after, asked.limit
