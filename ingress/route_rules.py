"""What OpenAI's routes add to the operation that they name, over HTTP and in batches alike.

Place in the path: step 1, around a `Call`, and after step 5. Media that requests point to become
part of them; what must be made anew is not taken from the cache; pictures wanted as URLs go to the
media store, after the call was settled. It makes no calls and decodes no pictures.
"""

import base64
from typing import Any

import orjson

from auth.principal import Principal
from core.errors import InvalidRequest
from ingress.call import CachePolicy, Call
from ingress.media.store import Publisher
from ingress.path import Answer
from ingress.remote_media import RemoteMedia

PICTURES = "image"
"""The family of models that draw."""
PICTURE_FIELDS = {
    "generate": ("control_image",),
    "edit": ("image", "mask", "control_image"),
    "variation": ("image",),
    "describe": ("image",),
    "animate": ("input_reference",),
    "image_workflow": ("images", "generate.control_image"),
}
"""Where requests of these operations hold pictures; chats hold them in their messages' parts."""
SEEDS = frozenset({"seed", "seeds"})
"""Fields that repeat what is drawn."""
FRESH = CachePolicy(read=False, write=False)


class RouteRules:
    """The rules.

    Args:
        publisher: where pictures go when a caller wants URLs; None refuses to make any.
        remote: fetches media that requests give by URL; without it they are refused.
    """

    def __init__(
        self, publisher: Publisher | None = None, remote: RemoteMedia | None = None
    ) -> None:
        self._publisher = publisher
        self._remote = remote

    async def inline(self, operation: str, document: dict[str, Any]) -> None:
        """Replace remote media in a request. Raises InvalidRequest naming the field."""
        if self._remote is None:
            return
        if operation == "chat":
            await self._remote.inline_chat(document)
        elif fields := PICTURE_FIELDS.get(operation):
            await self._remote.inline(document, *fields)

    async def apply(self, call: Call, principal: Principal) -> None:
        """Set what a call may take from the cache, and see that its answer has somewhere to go.

        Raises InvalidRequest, StorageFull, StoreUnavailable.
        """
        if wants_url(call):
            # Asked before the work, which would be billed and then have nowhere to go.
            await self._shelf().require_room(principal)
        make_anew(call)

    async def deliver(self, call: Call, principal: Principal, answer: Answer, origin: str) -> bytes:
        """The answer's body as the caller wants it. Raises StorageFull, StoreUnavailable."""
        if not wants_url(call):
            return answer.body
        return orjson.dumps(await self.with_urls(principal, answer, origin))

    async def with_urls(self, principal: Principal, answer: Answer, origin: str) -> dict[str, Any]:
        """The answer with each picture in the media store, signed anew even from the cache."""
        body: dict[str, Any] = orjson.loads(answer.body)
        media_type = f"image/{body['output_format']}"
        for picture in body["data"]:
            data = base64.b64decode(picture.pop("b64_json"))
            picture["url"] = await self._shelf().publish(principal, data, media_type, origin)
        return body

    def _shelf(self) -> Publisher:
        if self._publisher is None:
            raise InvalidRequest(
                "no media store is configured here: ask for 'b64_json'", "response_format"
            )
        return self._publisher


def make_anew(call: Call) -> None:
    """Keep a call from the cache whose answer would be another one each time."""
    if call.operation.tenant_field is not None:
        call.cache = FRESH  # only the routes of what tenants keep know when that has changed
    if names_no_seed(call):
        call.cache = FRESH


def names_no_seed(call: Call) -> bool:
    """Whether pictures or films are asked for without a seed: whoever does that wants others each
    time, not the last ones again.
    """
    seeds = SEEDS & type(call.request).model_fields.keys()
    if not (call.operation.makes_media and seeds):
        return False
    return all(getattr(call.request, name) is None for name in seeds)


def wants_url(call: Call) -> bool:
    """Whether the caller of a picture wants its address, not its bytes."""
    asked = getattr(call.request, "response_format", None)
    return call.model.spec.family == PICTURES and asked == "url"
