"""The media store: bytes in, a signed URL out.

Place in the path: called by endpoints after step 5, once a model's bytes are settled. It joins
blobs (`ingress.media.blobs`), their owners (`auth.media`) and URLs (`ingress.media.signing`). It
never looks into the bytes.

An endpoint needs one call:

    url = await store.publish(principal, picture, "image/png", origin_of(exchange))

Do it after the request path has answered, never inside a model: the response cache then keeps the
picture, and every answer, cached or not, carries a URL signed for it.
"""

import asyncio
import functools
import hashlib
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from datetime import UTC, datetime, timedelta
from typing import Protocol

from starlette.datastructures import QueryParams

from auth.accounts import Page
from auth.media import Claim, MediaOwnership, OwnedMedia
from auth.plans import Plans
from auth.principal import Principal
from auth.quota import storage_refusal
from auth.storage import Storage
from core.errors import CarillonError, InvalidRequest, NotFound
from ingress.media.blobs import Blobs
from ingress.media.naming import hash_in, media_name
from ingress.media.signing import SignedUrl, UrlSigner

SWEEP_BATCH = 100
SMALL_BYTES = 2**20
"""Hashed in the event loop: a thread's turn takes longer than a millisecond when cores are busy."""
logger = logging.getLogger("ray.serve")


class Purge(Protocol):
    """Told of media that are gone, so that caches forget them. Must not raise."""

    async def __call__(self, media: OwnedMedia) -> None: ...


class Publisher(Protocol):
    """What an endpoint that returns media depends on."""

    async def require_room(self, principal: Principal) -> None: ...
    async def publish(
        self, principal: Principal, data: bytes, media_type: str, origin: str = ""
    ) -> str: ...


class MediaStore:
    """Media of all tenants. Every method raises StoreUnavailable when a store does not answer.

    Args:
        public_url: begins every URL, where media are reached through a CDN or another name.
        purges: caches to tell when media are deleted.
    """

    def __init__(
        self,
        blobs: Blobs,
        ownership: MediaOwnership,
        signer: UrlSigner,
        plans: Plans,
        public_url: str | None = None,
        purges: tuple[Purge, ...] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._blobs = blobs
        self._ownership = ownership
        self._signer = signer
        self.storage = Storage(ownership, plans)
        self._public_url = public_url
        self._purges = purges
        self._now = now
        self._background: set[asyncio.Future[list[OwnedMedia]]] = set()

    async def publish(
        self, principal: Principal, data: bytes, media_type: str, origin: str = ""
    ) -> str:
        """Keep what a model made for `principal`; a URL that anybody can read for a while.

        Args:
            origin: `https://host` that the URL starts with when no `public_url` is configured;
                without either, the URL is a path.

        Raises:
            StorageFull: the tenant's plan, or a limit of its own, has no room for it.
        """
        media = await self.put(principal, data, media_type)
        return self.url(media, origin)

    async def require_room(self, principal: Principal, size: int = 0) -> None:
        """Raise StorageFull when nothing more fits, or not `size` bytes: to ask before work that
        ends in `publish`.
        """
        for state in await self.storage.standing(principal):
            if not state.has_room(size or 1):
                raise storage_refusal(state, size)

    async def put(self, principal: Principal, data: bytes, media_type: str) -> OwnedMedia:
        """Keep `data` for a tenant, as long as its plan says. The same bytes are kept once, and
        count for whoever stored them first.

        Raises:
            StorageFull, InvalidRequest (nothing to keep)
        """
        (media,) = await self.put_all(principal, [(data, media_type)])
        return media

    async def put_all(
        self, principal: Principal, files: Sequence[tuple[bytes, str]]
    ) -> list[OwnedMedia]:
        """As `put`, several together, each with its type: all of them, or none.

        Raises:
            StorageFull, InvalidRequest (nothing to keep)
        """
        if not all(data for data, _ in files):
            raise InvalidRequest("media cannot be empty")
        # Carried to its end even if the caller goes away: a half-written blob has no owner.
        keeping = asyncio.ensure_future(self._keep(principal, files))
        self._background.add(keeping)
        keeping.add_done_callback(self._background.discard)
        return await asyncio.shield(keeping)

    async def put_pieces(
        self, principal: Principal, pieces: AsyncIterable[bytes], media_type: str
    ) -> OwnedMedia:
        """As `put`, a piece at a time, for what is too large for memory.

        Raises:
            StorageFull, InvalidRequest (nothing to keep)
        """
        async with self._blobs.draft() as draft:
            async for piece in pieces:
                await draft.write(piece)
            if not draft.size:
                raise InvalidRequest("media cannot be empty")
            adopt = functools.partial(self._blobs.adopt, draft.name, draft)
            claim = Claim(draft.name, media_type, draft.size)
            (media,) = await self._claimed(principal, {claim: adopt})
            return media

    async def find(self, tenant_id: str, blob: str) -> OwnedMedia:
        """A tenant's own media. Raises NotFound."""
        return await self._ownership.find(tenant_id, blob)

    async def find_all(self, tenant_id: str, blobs: Collection[str]) -> dict[str, OwnedMedia]:
        """Those of `blobs` that the tenant has, by their hash."""
        return await self._ownership.find_all(tenant_id, blobs)

    async def granted(self, name: str, query: QueryParams) -> tuple[OwnedMedia, int]:
        """Media as a signed URL names them, and the whole seconds that the URL has left.

        Raises:
            NotFound: no such name, deleted or expired.
            Forbidden: the URL is not signed, or no longer good.
        """
        blob = hash_in(name)
        grant = self._signer.check(name, query)
        media = await self._ownership.shared(grant.owner, blob)
        if media_name(media) != name:
            raise NotFound("no such media")
        return media, self._signer.left_s(grant.expires)

    async def page(
        self, tenant_id: str, after: str | None, limit: int, *, oldest_first: bool = False
    ) -> Page[OwnedMedia]:
        """A tenant's media, newest first unless said."""
        return await self._ownership.page(tenant_id, after, limit, oldest_first=oldest_first)

    async def delete(self, tenant_id: str, blob: str) -> None:
        """End a tenant's ownership, at once and in caches; other owners keep theirs.

        Raises NotFound.
        """
        media = await self._drop(tenant_id, blob)
        for purge in self._purges:
            await purge(media)

    async def discard(self, tenant_id: str, blob: str) -> None:
        """As `delete`, for media that no URL was ever given of: no cache can know them."""
        await self._drop(tenant_id, blob)

    def pieces(self, media: OwnedMedia, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to `end`, a bounded piece at a time."""
        return self._blobs.pieces(media.hash, start, end)

    async def read(self, media: OwnedMedia) -> bytes:
        """All the bytes, for media that are known to be small enough for memory."""
        return b"".join([piece async for piece in self.pieces(media, 0, media.bytes)])

    def signed(self, media: OwnedMedia) -> SignedUrl:
        """A fresh URL path, and when it expires."""
        ends = None if media.expires_at is None else media.expires_at.timestamp()
        return self._signer.sign(media_name(media), media.owner, ends)

    def absolute(self, path: str, origin: str = "") -> str:
        """`path` as clients reach it."""
        return (self._public_url or origin).rstrip("/") + path

    def url(self, media: OwnedMedia, origin: str = "") -> str:
        """A fresh URL of media that were put earlier, such as the result of a job."""
        return self.absolute(self.signed(media).path, origin)

    def lasting_url(self, media: OwnedMedia, origin: str = "") -> str:
        """A URL that works until the media expire or are deleted."""
        ends = None if media.expires_at is None else media.expires_at.timestamp()
        signed = self._signer.sign_lasting(media_name(media), media.owner, ends)
        return self.absolute(signed.path, origin)

    async def sweep(self) -> int:
        """Delete what has expired and blobs that nobody owns; how much went.

        Caches need no word: no URL outlives what it names.
        """
        gone = 0
        for tenant_id, blob in await self._ownership.ended(SWEEP_BATCH):
            gone += await self._ownership.expire(tenant_id, blob) is not None
        for blob in await self._ownership.garbage(SWEEP_BATCH):
            gone += await self._collect(blob)
        await self._blobs.sweep_drafts()
        return gone

    async def _keep(
        self, principal: Principal, files: Sequence[tuple[bytes, str]]
    ) -> list[OwnedMedia]:
        digests = functools.partial(_digests, files)
        small = sum(len(data) for data, _ in files) <= SMALL_BYTES
        blobs = digests() if small else await asyncio.to_thread(digests)
        writes = {
            Claim(blob, media_type, len(data)): functools.partial(self._blobs.write, blob, data)
            for blob, (data, media_type) in dict(zip(blobs, files, strict=True)).items()
        }
        kept = {media.hash: media for media in await self._claimed(principal, writes)}
        return [kept[blob] for blob in blobs]

    async def _claimed(
        self, principal: Principal, writes: Mapping[Claim, Callable[[], Awaitable[None]]]
    ) -> list[OwnedMedia]:
        """Room first, then the bytes, then they can be seen."""
        tenant_id, limits = principal.tenant_id, self.storage.limits(principal)
        owner, ends = self._signer.owner(tenant_id), self._ends(principal.plan)
        await self._ownership.claim(tenant_id, owner, [*writes], ends, limits)
        blobs = [claim.hash for claim in writes]
        failed = await asyncio.gather(
            *(write() for write in writes.values()), return_exceptions=True
        )
        for error in failed:
            if error is not None:
                for blob in blobs:
                    await self._ownership.give_up(tenant_id, blob)
                raise error
        return await self._ownership.stored(tenant_id, blobs)

    async def _drop(self, tenant_id: str, blob: str) -> OwnedMedia:
        media = await self._ownership.release(tenant_id, blob)
        if media is None:
            raise NotFound("no such media")
        await self._collect(blob)
        return media

    async def _collect(self, blob: str) -> bool:
        """Delete a blob that nobody owns. What fails stays on the list for the next sweep."""
        try:
            async with self._ownership.collecting(blob) as nobodys:
                if nobodys:
                    await self._blobs.delete(blob)
        except CarillonError as error:
            logger.warning("a blob waits for the next sweep: %s", error)
            return False
        return True

    def _ends(self, plan: str) -> datetime | None:
        """Until when a plan keeps media; None is without end."""
        days = self.storage.plan(plan).retention_days
        return None if days is None else self._now() + timedelta(days=days)


def _digests(files: Sequence[tuple[bytes, str]]) -> list[str]:
    return [hashlib.sha256(data).hexdigest() for data, _ in files]
