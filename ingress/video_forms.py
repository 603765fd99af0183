"""Video requests as they arrive: JSON, or a form as OpenAI's SDK sends it.

Place in the path: step 1. Whatever names the first picture (a file of the form, base64, a `data:`
or remote URL, an uploaded file's id) becomes that picture's bytes. What they show is the request
type's to judge.
"""

from typing import Any

from auth.files import FileBook
from auth.principal import Principal
from core.errors import InvalidRequest, NotFound
from core.pictures import MAX_BYTES, check_declared, picture_header
from ingress.exchange import Exchange
from ingress.forms import FORM_TYPE, read_form
from ingress.media.store import MediaStore
from ingress.remote_media import RemoteMedia

REFERENCE = "input_reference"
WAYS = ("image_url", "file_id")
"""How OpenAI's reference object names a picture."""


class VideoForms:
    """Reads requests for videos."""

    def __init__(self, files: FileBook, media: MediaStore, remote: RemoteMedia) -> None:
        self._files = files
        self._media = media
        self._remote = remote

    async def document(self, exchange: Exchange, principal: Principal) -> dict[str, Any]:
        """The request's fields, its picture as bytes or text.

        Raises:
            InvalidRequest: a file that is no picture, or names none.
            UnsupportedMediaType, MalformedBody, BodyTooLarge
        """
        kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
        document = await (_form(exchange) if kind == FORM_TYPE else exchange.document())
        reference = document.get(REFERENCE)
        if isinstance(reference, dict):
            document[REFERENCE] = await self._named(reference, principal)
        await self._remote.inline(document, REFERENCE)
        return document

    async def _named(self, reference: dict[str, Any], principal: Principal) -> Any:
        """What OpenAI's reference object names."""
        if len(reference) != 1 or next(iter(reference)) not in WAYS:
            raise InvalidRequest(f"'{REFERENCE}' must have one of {', '.join(WAYS)}", REFERENCE)
        if "file_id" not in reference:
            return reference["image_url"]
        try:
            file = await self._files.find(principal.tenant_id, str(reference["file_id"]))
            media = await self._media.find(principal.tenant_id, file.hash)
        except NotFound as error:
            raise InvalidRequest("no such file", f"{REFERENCE}.file_id") from error
        if media.bytes > MAX_BYTES:
            raise InvalidRequest(f"the file has more than {MAX_BYTES} bytes", REFERENCE)
        return await self._media.read(media)


async def _form(exchange: Exchange) -> dict[str, Any]:
    """A form's fields and its file. `input_reference[image_url]` is a field of an object."""
    form = await read_form(exchange)
    form.only(REFERENCE)
    document = form.document()
    for way in WAYS:
        if (value := document.pop(f"{REFERENCE}[{way}]", None)) is not None:
            document.setdefault(REFERENCE, {})[way] = value
    if REFERENCE in form.files:
        upload = form.file(REFERENCE)
        try:
            check_declared(picture_header(upload.data), upload.media_type)
        except ValueError as error:
            raise InvalidRequest(f"Invalid value for '{REFERENCE}': {error}", REFERENCE) from error
        document[REFERENCE] = upload.data
    return document
