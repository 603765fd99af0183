"""Parameters of queries, beside those of pages.

Place in the path: step 1. Like the types of bodies, they say in the OpenAPI document what a query
may hold. Those of operations of models are the operations' own types.
"""

from typing import Literal

from pydantic import BaseModel, Field

from auth.accounts import PlainText
from auth.usage import By
from core.rag import DEFAULT_COLLECTION
from ingress.paging import AscendingPage, Page

DEFAULT_DAYS = 30
MAX_DAYS = 366
Variant = Literal["video", "thumbnail", "spritesheet"]


class PeriodQuery(BaseModel):
    """The last days."""

    days: int = Field(DEFAULT_DAYS, ge=1, le=MAX_DAYS)


class DailyQuery(PeriodQuery):
    """Days, broken down."""

    by: By | None = None


class FileListQuery(Page):
    """A page of files of one purpose."""

    purpose: PlainText | None = None


class AppListQuery(Page):
    """A page of apps of one kind."""

    kind: str | None = None


class GalleryQuery(Page):
    """A page of pictures: by words of their prompt, by tag."""

    q: str | None = None
    tag: str | None = None


class CollectionQuery(BaseModel):
    """Which collection of documents."""

    collection: str = DEFAULT_COLLECTION


class DocumentListQuery(AscendingPage, CollectionQuery):
    """A page of a collection."""


class VariantQuery(BaseModel):
    """Which file of a video."""

    variant: Variant = "video"


class FileQuery(BaseModel):
    """Which file of an app."""

    path: str | None = None


class TextsQuery(BaseModel):
    """Texts, each under the same name."""

    text: list[str]
    model: str | None = None


class RevocationQuery(BaseModel):
    """What ends with a key."""

    keep_successors: Literal["true", "false"] = "false"
