"""Settings of the media store, and the store that they describe.

Place in the path: start-up only; the gateway and the ledger each open the store once.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from auth.database import Database
from auth.media import MediaOwnership
from auth.plans import Plans
from core.model import Frozen
from ingress.media.blobs import Blobs
from ingress.media.purge import CdnPurge
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore, Purge

ORIGIN = r"^https?://[^/\s?#]+(/[^\s?#]*)?$"


class MediaSettings(Frozen):
    """Where media are and how they are reached."""

    url: str | None = None
    """A directory or an fsspec URL such as `s3://bucket/prefix`; `media` in the state directory
    when not given."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The file system's own options, such as `endpoint_url`. No secrets."""
    public_url: str | None = Field(None, pattern=ORIGIN)
    """Begins every URL: the CDN's address. The caller's own address for us when not given."""
    url_ttl_s: float = Field(3600.0, gt=0)
    """How long a signed URL works."""
    upload_bytes: int = Field(64 * 2**20, gt=0)
    """Largest upload."""
    purge_url: str | None = Field(None, pattern=ORIGIN)
    """Where to send `PURGE` when media are deleted."""


def open_media_store(
    settings: MediaSettings,
    state: Path,
    pepper: SecretStr,
    database: Database,
    plans: Plans,
    purges: tuple[Purge, ...] = (),
) -> MediaStore:
    """The store. Raises SettingsError for a URL that cannot be used.

    Args:
        state: the state directory.
        purges: caches to tell of deletions, besides the one at `purge_url`.
    """
    if settings.purge_url is not None:
        purges = (*purges, CdnPurge(settings.purge_url))
    return MediaStore(
        Blobs(settings.url or str(state / "media"), settings.options),
        MediaOwnership(database),
        UrlSigner(pepper, settings.url_ttl_s),
        plans,
        settings.public_url,
        purges,
    )
