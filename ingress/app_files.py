"""What is in an app: its files, an archive of them, and a page that shows it in a closed frame.

Place in the path: beside it; these requests read a tenant's rows and cost no units. What is in the
files is never run here, and never shown with the rights of this origin.
"""

import asyncio
import base64
import hashlib
import html
import io
import re
import zipfile

from starlette.responses import Response

from auth.apps import App, AppBook
from core.errors import NotFound
from ingress.apps import own_app
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.queries import FileQuery
from ingress.responses import json_response

HASHES = re.compile(r"script-src '(sha256-[\w+/=]+)'; style-src '(sha256-[\w+/=]+)'")
"""In the policy that every page of the builder carries."""
ALLOWED = "allow-scripts allow-forms allow-modals allow-downloads"
"""Of a frame. Without `allow-same-origin` it has an origin of its own: no cookies, no storage, and
no way to what is around it."""
FRAME_STYLE = "html,body,iframe{margin:0;border:0;width:100%;height:100%;display:block}"
FRAME = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    '<style>{style}</style></head><body><iframe title="{title}" sandbox="{allowed}"'
    ' srcdoc="{page}"></iframe></body></html>'
)
MADE = (2026, 1, 1, 0, 0, 0)
"""When every file of an archive was made: the same app is the same bytes."""
PRIVATE = {"cache-control": "private, no-cache", "x-content-type-options": "nosniff"}
CLOSED = {"content-security-policy": "default-src 'none'; sandbox"}


class AppFiles:
    """Handlers over the book of apps."""

    def __init__(self, path: RequestPath, book: AppBook) -> None:
        self._path = path
        self._book = book

    def endpoints(self) -> list[Endpoint]:
        one = "/v1/apps/{app_id}"
        return [
            Endpoint(
                "GET",
                f"{one}/files",
                self.files,
                "Its files; one of them with ?path=",
                query=FileQuery,
            ),
            Endpoint("GET", f"{one}/archive", self.archive, "Its files as a zip"),
            Endpoint("GET", f"{one}/preview", self.preview, "A page that shows it"),
        ]

    async def files(self, exchange: Exchange) -> Response:
        app = await own_app(self._path, self._book, exchange)
        wanted = exchange.http.query_params.get("path")
        if wanted is not None:
            return _plain(app, wanted)
        data = [
            {"path": path, "bytes": len(text.encode()), "content": text}
            for path, text in sorted(app.files.items())
        ]
        return json_response({"object": "list", "data": data})

    async def archive(self, exchange: Exchange) -> Response:
        app = await own_app(self._path, self._book, exchange)
        packed = await asyncio.to_thread(_zipped, app)
        name = re.sub(r"[^a-z0-9]+", "-", app.name.lower()).strip("-") or "app"
        headers = {"content-disposition": f'attachment; filename="{name}.zip"', **PRIVATE}
        return Response(packed, media_type="application/zip", headers=headers)

    async def preview(self, exchange: Exchange) -> Response:
        app = await own_app(self._path, self._book, exchange)
        headers = {"content-security-policy": _policy(app.page), **PRIVATE}
        framed = FRAME.format(
            title=html.escape(app.name),
            style=FRAME_STYLE,
            allowed=ALLOWED,
            page=html.escape(app.page),
        )
        return Response(framed, media_type="text/html; charset=utf-8", headers=headers)


def _plain(app: App, path: str) -> Response:
    """One file as text that no browser takes for more."""
    if path not in app.files:
        raise NotFound("the app has no such file")
    return Response(
        app.files[path], media_type="text/plain; charset=utf-8", headers=PRIVATE | CLOSED
    )


def _zipped(app: App) -> bytes:
    """The files, and the static page of the same plan."""
    files = {"preview.html": app.page} | app.files
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, MADE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[path])
    return buffer.getvalue()


def _policy(page: str) -> str:
    """What the page around the frame, and with it the frame, may do: the one script, two styles.

    A frame made of text has the policy of what is around it, beside its own.
    """
    match = HASHES.search(page)
    script, style = match.groups() if match else ("", "")
    frame = base64.b64encode(hashlib.sha256(FRAME_STYLE.encode()).digest()).decode()
    return (
        f"sandbox {ALLOWED}; default-src 'none'; script-src '{script}';"
        f" style-src '{style}' 'sha256-{frame}'; img-src data:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'self'"
    )
