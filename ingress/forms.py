"""Forms: multipart bodies as fields and files, with limits.

Place in the path: step 1 (parse) for routes that take uploads. It reads at most the endpoint's
body limit, a few parts and short fields; what a file holds is the model's to judge.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from core.errors import InvalidRequest, MalformedBody, UnsupportedMediaType
from ingress.exchange import Exchange

FORM_TYPE = "multipart/form-data"
MAX_FIELDS = 64
MAX_FIELD_BYTES = 2**20
PIECE_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a form. Its name and type are the caller's claim, not a fact."""

    name: str
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body. Names ending in `[]` are lists under the name without it."""

    fields: dict[str, str | list[str]]
    files: dict[str, list[Upload]]

    def document(self) -> dict[str, Any]:
        """The plain fields, as a JSON object would hold them."""
        return dict(self.fields)

    def file(self, *names: str) -> Upload:
        """The one file sent under any of `names`. Raises InvalidRequest naming the first."""
        found = [upload for name in names for upload in self.files.get(name, ())]
        if len(found) != 1:
            problem = "send one file, not several" if found else "a file is required"
            raise InvalidRequest(f"'{names[0]}': {problem}", names[0])
        if not found[0].data:
            raise InvalidRequest(f"'{names[0]}': the file is empty", names[0])
        return found[0]

    def only(self, *names: str) -> None:
        """Refuse files under any other name."""
        for name in self.files:
            if name not in names:
                raise InvalidRequest(f"'{name[:100]}': this endpoint takes no such file", name)


async def read_form(exchange: Exchange, *, max_files: int = 1) -> Form:
    """The body as a form.

    Raises:
        UnsupportedMediaType: another content type.
        BodyTooLarge: over the endpoint's limit; it was not read further.
        MalformedBody: not a valid form, or too many or too long parts.
    """
    kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        raise UnsupportedMediaType(f"send {FORM_TYPE}, not {kind[:100]!r}")
    body = await exchange.body()
    parser = MultiPartParser(
        exchange.http.headers,
        _pieces(body),
        max_files=max_files,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    # The body is in memory already, within its limit: no file of it goes to the disk.
    parser.spool_max_size = len(body) + 1
    try:
        parsed = await parser.parse()
    except MultiPartException as error:
        raise MalformedBody(f"the body is not a valid form: {error.message}") from error
    exchange.forget_body()  # its files are copies
    form = Form({}, {})
    for name, value in parsed.multi_items():
        await _add(form, name, value)
    return form


async def _add(form: Form, name: str, value: str | UploadFile) -> None:
    plain, listed = name.removesuffix("[]"), name.endswith("[]")
    if isinstance(value, UploadFile):
        with value.file:
            data = value.file.read()
        upload = Upload(value.filename or "", data, value.content_type or "")
        form.files.setdefault(plain, []).append(upload)
        return
    there = form.fields.get(plain)
    if isinstance(there, list):
        there.append(value)
    elif there is not None:
        form.fields[plain] = [there, value]
    else:
        form.fields[plain] = [value] if listed else value


async def _pieces(body: bytes) -> AsyncGenerator[bytes, None]:
    view = memoryview(body)
    for start in range(0, len(body), PIECE_BYTES):
        yield bytes(view[start : start + PIECE_BYTES])
