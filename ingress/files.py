"""`/v1/files`: uploads for batches, and what batches give back, as OpenAI's Files API has them.

Place in the path: beside it; a file costs storage, not work. The bytes go to the media store
unread, except that a batch's must be lines of JSON.
"""

from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from auth.files import File, FileBook
from auth.principal import Scope
from core.errors import InvalidRequest
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.forms import read_form
from ingress.media.delivery import PiecesResponse
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.queries import FileListQuery
from ingress.responses import json_response

PURPOSES = ("batch", "user_data")
MAX_FILE_BYTES = 100 * 2**20
MAX_NAME = 255
JSONL = "application/jsonl"


class FileForm(BaseModel):
    """POST /v1/files, beside its `file`."""

    purpose: Literal["batch", "user_data"]


class Files:
    """Handlers."""

    def __init__(self, path: RequestPath, files: FileBook, media: MediaStore) -> None:
        self._path = path
        self._files = files
        self._media = media

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/v1/files",
                self.upload,
                "Upload a file",
                form=FileForm,
                files=("file",),
                max_body_bytes=MAX_FILE_BYTES,
            ),
            Endpoint("GET", "/v1/files", self.list, "This tenant's files", query=FileListQuery),
            Endpoint("GET", "/v1/files/{file_id}", self.show, "One file"),
            Endpoint("GET", "/v1/files/{file_id}/content", self.content, "What is in it"),
            Endpoint("DELETE", "/v1/files/{file_id}", self.delete, "Delete a file"),
        ]

    async def upload(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        form = await read_form(exchange)
        form.only("file")
        upload = form.file("file")
        purpose = form.fields.get("purpose")
        if purpose not in PURPOSES:
            raise InvalidRequest(f"'purpose' must be one of {', '.join(PURPOSES)}", "purpose")
        media = await self._media.put(principal, upload.data, JSONL)
        name = _plain(upload.name) or "file"
        return json_response(
            file_object(
                await self._files.add(
                    principal.tenant_id, name, str(purpose), media.hash, media.bytes
                )
            )
        )

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        asked = exchange.query(FileListQuery)
        page = await self._files.page(
            principal.tenant_id,
            asked.purpose,
            asked.after,
            asked.limit,
            oldest_first=asked.oldest_first,
        )
        data = [file_object(file) for file in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def show(self, exchange: Exchange) -> Response:
        return json_response(file_object(await self._own(exchange)))

    async def content(self, exchange: Exchange) -> Response:
        file = await self._own(exchange)
        media = await self._media.find(file.tenant_id, file.hash)
        pieces = self._media.pieces(media, 0, media.bytes)
        head = Response(
            media_type=JSONL,
            headers={"content-length": str(media.bytes), "x-content-type-options": "nosniff"},
        )
        return PiecesResponse(head, await anext(pieces), pieces)

    async def delete(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["file_id"]
        file, alone = await self._files.delete(principal.tenant_id, name)
        if alone:
            await self._media.delete(principal.tenant_id, file.hash)
        return json_response({"id": file.id, "object": "file", "deleted": True})

    async def _own(self, exchange: Exchange) -> File:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        return await self._files.find(principal.tenant_id, exchange.http.path_params["file_id"])


def file_object(file: File) -> dict[str, Any]:
    """OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def listing(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """OpenAI's list object."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _plain(name: str) -> str:
    """A file's name as a row and a header can hold it."""
    return "".join(c for c in name.rpartition("/")[2] if c.isprintable())[:MAX_NAME]
