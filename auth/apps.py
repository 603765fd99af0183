"""Apps: what the app builder made for tenants, and which of it is published. Rows.

Place in the path: beside it, under `/v1/apps`. Files are in the row, so that an app comes and goes
as a whole. What is published is a blob of the media store, which counts it against the plan.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from auth.accounts import Page
from auth.database import Database
from auth.paging import known_id, page_size
from core.errors import Conflict, NotFound

ID_BYTES = 12
MOST_APPS = 500
"""Of one tenant: files of apps are not counted against its storage."""
ADD = """
    INSERT INTO apps
        (id, tenant_id, model, kind, name, framework, description, facts, files, bytes, page)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
    WHERE (SELECT count(*) FROM apps WHERE tenant_id = $2) < $12
    RETURNING *
"""
NEWEST_FIRST = """
    SELECT id, tenant_id, model, kind, name, framework, description, facts, '{}'::jsonb AS files,
        bytes, '' AS page, created_at
    FROM apps WHERE tenant_id = $1 AND ($2::text IS NULL OR kind = $2)
    AND ($3::text IS NULL OR (created_at, id) <
        (SELECT created_at, id FROM apps WHERE id = $3 AND tenant_id = $1))
    ORDER BY created_at DESC, id DESC LIMIT $4
"""
OLDEST_FIRST = """
    SELECT id, tenant_id, model, kind, name, framework, description, facts, '{}'::jsonb AS files,
        bytes, '' AS page, created_at
    FROM apps WHERE tenant_id = $1 AND ($2::text IS NULL OR kind = $2)
    AND ($3::text IS NULL OR (created_at, id) >
        (SELECT created_at, id FROM apps WHERE id = $3 AND tenant_id = $1))
    ORDER BY created_at, id LIMIT $4
"""
MENTIONED = """
    SELECT 1 FROM app_deployments WHERE tenant_id = $1 AND hash = $2
    UNION ALL SELECT 1 FROM files WHERE tenant_id = $1 AND hash = $2 LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class App:
    """One component or app of a tenant."""

    id: str
    tenant_id: str
    model: str
    kind: str
    name: str
    framework: str
    description: str
    facts: dict[str, Any]
    """Planner, writer, notes, plan: what the builder said beside the files."""
    files: dict[str, str]
    """Empty in lists."""
    bytes: int
    page: str
    """The static build; empty in lists."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AppDeployment:
    """One published app: it has one deployment at most."""

    id: str
    app_id: str
    hash: str
    created_at: datetime


class AppBook:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        tenant_id: str,
        *,
        model: str,
        kind: str,
        name: str,
        framework: str,
        description: str,
        facts: dict[str, Any],
        files: dict[str, str],
        page: str,
    ) -> App:
        """Keep what was made. Raises Conflict when the tenant has as many as it may."""
        row = await self._database.of(tenant_id).row(
            ADD,
            f"app-{secrets.token_hex(ID_BYTES)}",
            tenant_id,
            model,
            kind,
            name,
            framework,
            description,
            orjson.dumps(facts).decode(),
            orjson.dumps(files).decode(),
            sum(len(text.encode()) for text in files.values()),
            page,
            MOST_APPS,
        )
        if row is None:
            raise Conflict(f"this tenant has {MOST_APPS} apps: delete some first")
        return _app(row)

    async def has_room(self, tenant_id: str) -> bool:
        """Whether one more may be kept: to ask before work that ends in `add`."""
        row = await self._database.of(tenant_id).row(
            "SELECT count(*) AS apps FROM apps WHERE tenant_id = $1", tenant_id
        )
        return row is None or int(row["apps"]) < MOST_APPS

    async def find(self, tenant_id: str, app_id: str) -> App:
        """A tenant's own app. Raises NotFound, also for another tenant's."""
        return _app(
            await self._database.of(tenant_id).row(
                "SELECT * FROM apps WHERE id = $1 AND tenant_id = $2", known_id(app_id), tenant_id
            )
        )

    async def page(
        self,
        tenant_id: str,
        kind: str | None,
        after: str | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> Page[App]:
        """A tenant's apps without their files."""
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            OLDEST_FIRST if oldest_first else NEWEST_FIRST,
            tenant_id,
            kind,
            after and known_id(after),
            limit + 1,
        )
        return Page(tuple(_app(row) for row in rows[:limit]), len(rows) > limit)

    async def delete(self, tenant_id: str, app_id: str) -> list[str]:
        """Forget an app and its deployment; the blobs that nothing names any more.

        Raises NotFound.
        """
        async with self._database.of(tenant_id).transaction() as connection:
            row = await connection.fetchrow(
                "DELETE FROM apps WHERE id = $1 AND tenant_id = $2 RETURNING id",
                known_id(app_id),
                tenant_id,
            )
            if row is None:
                raise NotFound("no such app")
            # A deployment that is being made waits for us, and then finds no app.
            gone = await connection.fetch(
                "DELETE FROM app_deployments WHERE app_id = $1 AND tenant_id = $2 RETURNING hash",
                app_id,
                tenant_id,
            )
            blobs = [str(each["hash"]) for each in gone]
            return [
                blob
                for blob in blobs
                if await connection.fetchrow(MENTIONED, tenant_id, blob) is None
            ]

    async def publish(self, tenant_id: str, app_id: str, deployment_id: str, blob: str) -> None:
        """Note that an app is published as `blob`. Raises NotFound, Conflict if it was already."""
        try:
            await self._database.of(tenant_id).execute(
                "INSERT INTO app_deployments (id, tenant_id, app_id, hash) VALUES ($1, $2, $3, $4)",
                deployment_id,
                tenant_id,
                app_id,
                blob,
            )
        except asyncpg.UniqueViolationError as error:
            raise Conflict("the app was published meanwhile") from error
        except asyncpg.ForeignKeyViolationError as error:
            raise NotFound("no such app") from error

    async def deployment(self, tenant_id: str, app_id: str) -> AppDeployment | None:
        """How an app is published, if it is."""
        row = await self._database.of(tenant_id).row(
            "SELECT * FROM app_deployments WHERE app_id = $1 AND tenant_id = $2",
            known_id(app_id),
            tenant_id,
        )
        return None if row is None else _deployment(row)

    async def withdraw(self, tenant_id: str, app_id: str, deployment_id: str) -> tuple[str, bool]:
        """End a deployment: its blob, and whether nothing else names it. Raises NotFound."""
        row = await self._database.of(tenant_id).row(
            "DELETE FROM app_deployments WHERE id = $1 AND app_id = $2 AND tenant_id = $3"
            " RETURNING hash",
            known_id(deployment_id),
            known_id(app_id),
            tenant_id,
        )
        if row is None:
            raise NotFound("no such deployment")
        other = await self._database.of(tenant_id).row(MENTIONED, tenant_id, row["hash"])
        return str(row["hash"]), other is None


def new_deployment_id() -> str:
    """An id of a deployment that is about to be published."""
    return f"deployment-{secrets.token_hex(ID_BYTES)}"


def _app(row: asyncpg.Record | None) -> App:
    if row is None:
        raise NotFound("no such app")
    return App(
        id=row["id"],
        tenant_id=row["tenant_id"],
        model=row["model"],
        kind=row["kind"],
        name=row["name"],
        framework=row["framework"],
        description=row["description"],
        facts=orjson.loads(row["facts"]),
        files=orjson.loads(row["files"]),
        bytes=row["bytes"],
        page=row["page"],
        created_at=row["created_at"],
    )


def _deployment(row: asyncpg.Record) -> AppDeployment:
    return AppDeployment(row["id"], row["app_id"], row["hash"], row["created_at"])
