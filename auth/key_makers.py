"""Makers of keys: the key that made a key, the one that made that, and so on.

Place in the path: read by step 2 with a key that another key made, and by administration. A key
never does more than the key that made it: its work counts in the maker's own windows too
(`auth/limits.py`), it has no scope and no model that the maker lost since, and it ends with the
maker. A successor of a rotated key takes its place as a maker. This module only reads.
"""

from collections.abc import Sequence

import asyncpg

from auth.accounts import KeyGrant
from auth.database import Connection
from auth.key_rows import models_of, scopes_of
from auth.own_limits import Above, storage_in, windows_in
from auth.plans import HOUR_S, LimitSet, Meter, Plans, Window
from auth.principal import Maker, Principal
from core.errors import Conflict, Forbidden

MOST_MAKERS = 8
"""Each of them may add windows to an admission."""

# The key of that id first, then its maker, and so on; each with the first key that it succeeds.
LINE = """
    WITH RECURSIVE makers AS (
        SELECT k.*, 0 AS place FROM api_keys k WHERE k.id = $1
        UNION ALL SELECT k.*, place + 1 FROM makers JOIN api_keys k ON k.id = makers.parent_id
    ), lines (maker, id, rotated_from, place) AS (
        SELECT id, id, rotated_from, 0 FROM makers
        UNION ALL SELECT lines.maker, older.id, older.rotated_from, lines.place + 1
        FROM lines JOIN api_keys older ON older.id = lines.rotated_from
    )
    SELECT makers.*, is_active AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > now())
        AND NOT EXISTS (
            SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id
            WHERE m.user_id = makers.user_id AND m.tenant_id = makers.tenant_id AND NOT u.is_active
        ) AS is_good,
        (SELECT l.id FROM lines l WHERE l.maker = makers.id ORDER BY l.place DESC LIMIT 1)
        AS first_id
    FROM makers ORDER BY place
"""


def maker_of(row: asyncpg.Record) -> Maker:
    """A row of `LINE` as step 3 holds it."""
    return Maker(
        key_id=row["first_id"],
        tier=row["tier"],
        requests_per_hour=row["requests_per_hour"],
        windows=windows_in(row["limits"]),
        storage_bytes=storage_in(row["limits"]),
    )


def within_makers(principal: Principal, rows: Sequence[asyncpg.Record]) -> Principal | None:
    """`principal` with no more than its makers have now; None when one of them has ended."""
    if not all(row["is_good"] for row in rows):
        return None
    scopes, models, ends = principal.scopes, principal.allowed_models, principal.expires_at
    for row in rows:
        scopes &= scopes_of(row)
        theirs = models_of(row)
        if theirs is not None:
            models = theirs if models is None else models & theirs
        if row["expires_at"] is not None:
            ends = min(ends or row["expires_at"], row["expires_at"])
    return principal.of_makers(tuple(map(maker_of, rows)), scopes, models, ends)


def require_shallow(granter: Principal) -> None:
    """Raise Conflict for a key that has too many makers to become one."""
    if len(granter.makers) >= MOST_MAKERS:
        raise Conflict(f"keys are made by keys at most {MOST_MAKERS} times over")


def require_own(granter: Principal, line: Sequence[asyncpg.Record]) -> None:
    """Raise Forbidden unless a limited key wants itself, or what it made.

    A key of the same limits beside it is another budget, whose secret it must not learn.

    Args:
        line: of the key that it wants, itself first.
    """
    if granter.role is not None or not granter.has_limited_key:
        return
    if granter.counted_key_id not in {row["first_id"] for row in line}:
        raise Forbidden("a key with limits of its own changes only itself and keys that it made")


def above_made(plans: Plans, makers: Sequence[asyncpg.Record]) -> list[Above]:
    """What the limits of a key stay within, that these made."""
    return [
        Above("the key that made it", own_windows(maker_of(row), plans), storage_in(row["limits"]))
        for row in makers
    ]


def own_windows(maker: Maker, plans: Plans) -> tuple[Window, ...]:
    """All windows of a key's own: its limits, its tier's, and its hourly requests."""
    windows = list(maker.windows)
    tier = None if maker.tier is None else plans.get(maker.tier)
    if tier is not None:
        windows += tier.windows
    if maker.requests_per_hour is not None:
        windows.append(Window(Meter.REQUESTS, HOUR_S, maker.requests_per_hour))
    return tuple(windows)


def within_hourly(grant: KeyGrant) -> LimitSet | None:
    """All limits that a grant names, its hourly requests among them."""
    hourly = grant.requests_per_hour
    if hourly is None:
        return grant.limits
    limits = grant.limits or LimitSet()
    most = max(hourly, limits.requests.hour or 0)
    requests = limits.requests.model_copy(update={"hour": most})
    return limits.model_copy(update={"requests": requests})


async def line_of(connection: Connection, key_id: str) -> list[asyncpg.Record]:
    """A key and its makers, nearest first."""
    return await connection.fetch(LINE, key_id)
