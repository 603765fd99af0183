"""Deployments of apps: the static page in the media store, under a link that anybody can open.

Place in the path: beside it. A deployment takes storage of the plan, costs no units, and lasts
until it is deleted or the plan's retention ends it. In every browser its page has an origin of its
own (`ingress.media.kinds.PAGE_POLICY`), though it comes from ours.
"""

from contextlib import suppress
from typing import Any

from starlette.responses import Response

from auth.apps import App, AppBook, AppDeployment, new_deployment_id
from auth.media import OwnedMedia
from auth.principal import Principal, Scope
from core.errors import CarillonError, Conflict, NotFound
from ingress.accounts import timestamp
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.files import listing
from ingress.media.kinds import PAGE
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.responses import json_response

MARK = '<meta charset="utf-8" />'


class AppDeployments:
    """Handlers over the book of apps and the media store."""

    def __init__(self, path: RequestPath, book: AppBook, media: MediaStore) -> None:
        self._path = path
        self._book = book
        self._media = media

    def endpoints(self) -> list[Endpoint]:
        all_of_app = "/v1/apps/{app_id}/deployments"
        return [
            Endpoint("POST", all_of_app, self.deploy, "Publish its static page", status=201),
            Endpoint("GET", all_of_app, self.list, "Where it is published"),
            Endpoint("DELETE", f"{all_of_app}/{{deployment_id}}", self.delete, "Undeploy it"),
        ]

    async def deploy(self, exchange: Exchange) -> Response:
        app_id = exchange.http.path_params["app_id"]
        told, is_new = await self.deployed(exchange, app_id)
        return json_response(told, 201 if is_new else 200)

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        app = await self._book.find(principal.tenant_id, exchange.http.path_params["app_id"])
        found = await self._live(principal.tenant_id, app.id)
        data = [] if found is None else [self._object(*found, exchange)]
        return json_response(listing(data, has_more=False))

    async def delete(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        names = exchange.http.path_params
        await self.withdraw(principal.tenant_id, names["app_id"], names["deployment_id"])
        told = {"id": names["deployment_id"], "object": "app.deployment", "deleted": True}
        return json_response(told)

    async def deployed(self, exchange: Exchange, app_id: str) -> tuple[dict[str, Any], bool]:
        """Publish an app, unless it is published; the deployment, and whether it is new."""
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        app = await self._book.find(principal.tenant_id, app_id)
        found = await self._live(principal.tenant_id, app.id)
        is_new = found is None
        if found is None:
            found = await self._publish(principal, app)
        return self._object(*found, exchange), is_new

    async def withdraw(self, tenant_id: str, app_id: str, deployment_id: str) -> None:
        """End a deployment, and its page if nothing else names that. Raises NotFound."""
        blob, alone = await self._book.withdraw(tenant_id, app_id, deployment_id)
        if alone:
            await self.drop(tenant_id, blob)

    async def drop(self, tenant_id: str, blob: str) -> None:
        """Delete a page that nothing names any more."""
        with suppress(NotFound):  # it has expired, or was deleted as media
            await self._media.delete(tenant_id, blob)

    async def _live(self, tenant_id: str, app_id: str) -> tuple[AppDeployment, OwnedMedia] | None:
        """How an app is published. One whose page is gone is none: it is forgotten."""
        deployment = await self._book.deployment(tenant_id, app_id)
        if deployment is None:
            return None
        try:
            return deployment, await self._media.find(tenant_id, deployment.hash)
        except NotFound:
            with suppress(NotFound):
                await self._book.withdraw(tenant_id, app_id, deployment.id)
            return None

    async def _publish(self, principal: Principal, app: App) -> tuple[AppDeployment, OwnedMedia]:
        """Raises StorageFull, Conflict; nothing is left of what fails."""
        name = new_deployment_id()
        media = await self._media.put(principal, _marked(app.page, name), PAGE.media_type)
        try:
            await self._book.publish(principal.tenant_id, app.id, name, media.hash)
        except CarillonError:
            await self._media.discard(principal.tenant_id, media.hash)
            raise
        deployment = await self._book.deployment(principal.tenant_id, app.id)
        if deployment is None:
            raise Conflict("the app was undeployed meanwhile")
        return deployment, media

    def _object(
        self, deployment: AppDeployment, media: OwnedMedia, exchange: Exchange
    ) -> dict[str, Any]:
        return {
            "id": deployment.id,
            "object": "app.deployment",
            "app_id": deployment.app_id,
            "status": "deployed",
            "media_id": media.hash,
            "bytes": media.bytes,
            "created_at": timestamp(deployment.created_at),
            "expires_at": timestamp(media.expires_at),
            "url": self._media.lasting_url(media, origin_of(exchange)),
        }


def _marked(page: str, deployment_id: str) -> bytes:
    """The page of one deployment: no other has the same bytes, so it goes without taking others."""
    mark = f'{MARK}\n    <meta name="deployment" content="{deployment_id}" />'
    return page.replace(MARK, mark, 1).encode()
