"""Invitations: a promise of a membership to one email address, redeemed with a token.

Place in the path: beside it. Nothing is sent: whoever invites passes the token on. Stored is a
keyed digest of it, as of API keys.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
from pydantic import SecretStr

from auth.accounts import Page
from auth.database import Connection, Database
from auth.keys import KeyHasher
from auth.members import add_member
from auth.paging import known_id, page_size
from auth.principal import Principal, Role
from auth.revisions import Announce, changed
from auth.roles import require_rank
from auth.users import User
from core.errors import Forbidden, InvalidCredentials, InvalidKey, NotFound

ID_BYTES = 8
SECRET_BYTES = 32
FIND = "SELECT * FROM invitations WHERE token_digest = $1"
LOCKED = " FOR UPDATE"
KEY_ENDED = "SELECT revoked_at IS NOT NULL FROM api_keys WHERE id = $1 FOR SHARE"


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as lists show it."""

    id: str
    tenant_id: str
    email: str
    role: Role
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it can still be accepted."""
        ended = self.accepted_at is not None or self.revoked_at is not None
        return not ended and self.expires_at > datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """A new invitation; `token` is not known afterwards."""

    invitation: Invitation
    token: SecretStr


class Invitations:
    """The rows. Every method raises StoreUnavailable when a store does not answer.

    Args:
        lifetime_s: how long an invitation can be accepted.
    """

    def __init__(
        self, database: Database, hasher: KeyHasher, announce: Announce, lifetime_s: float
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._announce = announce
        self._lifetime = timedelta(seconds=lifetime_s)

    async def invite(
        self, principal: Principal, email: str, role: Role, tenant_id: str | None = None
    ) -> IssuedInvitation:
        """Promise `email` a role in the principal's tenant; in another one's for admins.

        Raises Forbidden for a role above the principal's own, NotFound for an unknown tenant,
        InvalidKey for a key that was revoked at this moment.
        """
        require_rank(principal, role)
        token = f"ci-{secrets.token_urlsafe(SECRET_BYTES)}"
        owner = known_id(tenant_id or principal.tenant_id)
        try:
            async with self._database.of(owner).transaction() as connection:
                # Whoever revokes the key waits for this, or we see it.
                ended = await connection.fetchval(KEY_ENDED, principal.key_id)
                if ended:
                    raise InvalidKey("the API key is not valid")
                row = await connection.fetchrow(
                    "INSERT INTO invitations (id, tenant_id, email, role, token_digest, invited_by,"
                    " issued_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
                    f"i-{secrets.token_hex(ID_BYTES)}",
                    owner,
                    email,
                    role.value,
                    self._hasher.digest(token),
                    principal.granted_by,
                    principal.key_id,
                    datetime.now(UTC) + self._lifetime,
                )
        except asyncpg.ForeignKeyViolationError as error:
            raise NotFound("no such tenant") from error
        return IssuedInvitation(_invitation(row), SecretStr(token))

    async def list(
        self, tenant_id: str, after: str | None = None, limit: int = 20
    ) -> Page[Invitation]:
        """The invitations of a tenant, oldest first, those that ended included."""
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            "SELECT * FROM invitations WHERE tenant_id = $1 AND ($2::text IS NULL OR"
            " (created_at, id) > (SELECT created_at, id FROM invitations WHERE id = $2"
            " AND tenant_id = $1)) ORDER BY created_at, id LIMIT $3",
            tenant_id,
            after and known_id(after),
            limit + 1,
        )
        return Page(tuple(_invitation(row) for row in rows[:limit]), len(rows) > limit)

    async def revoke(self, tenant_id: str, invitation_id: str) -> Invitation:
        """Take an invitation back; one that was accepted stays so. Raises NotFound."""
        return _invitation(
            await self._database.of(tenant_id).row(
                "UPDATE invitations SET revoked_at = coalesce(revoked_at, now())"
                " WHERE id = $1 AND tenant_id = $2 RETURNING *",
                known_id(invitation_id),
                tenant_id,
            )
        )

    async def find(self, token: SecretStr, email: str) -> Invitation:
        """The open invitation of a token, meant for `email`.

        Raises InvalidCredentials, Forbidden when it is somebody else's.
        """
        async with self._database.connection() as connection:
            return await self._found(connection, token, email, FIND)

    async def accept(self, connection: Connection, token: SecretStr, user: User) -> Invitation:
        """Redeem a token for `user`, inside a transaction, once.

        Raises InvalidCredentials, Forbidden, Conflict for who is a member already.
        """
        found = await self._found(connection, token, user.email, FIND)
        await changed(connection, [found.tenant_id])  # first, as every change of members does
        found = await self._found(connection, token, user.email, FIND + LOCKED)
        await add_member(connection, found.tenant_id, user.id, found.role)
        await connection.execute(
            "UPDATE invitations SET accepted_at = now() WHERE id = $1", found.id
        )
        return found

    async def join(self, token: SecretStr, user: User) -> Invitation:
        """Redeem a token for a user who has an account. Raises as `accept`."""
        async with self._database.transaction() as connection:
            invitation = await self.accept(connection, token, user)
        await self._announce()
        return invitation

    async def _found(
        self, connection: Connection, token: SecretStr, email: str | None, query: str
    ) -> Invitation:
        row = await connection.fetchrow(
            query,
            self._hasher.digest(token.get_secret_value()),
        )
        if row is None or not (invitation := _invitation(row)).is_open:
            raise InvalidCredentials("the invitation is not valid", "invitation")
        if invitation.email != email:
            raise Forbidden("the invitation is for another email address", "invitation")
        return invitation


def _invitation(row: asyncpg.Record | None) -> Invitation:
    if row is None:
        raise NotFound("no such invitation")
    return Invitation(
        row["id"],
        row["tenant_id"],
        row["email"],
        Role(row["role"]),
        row["created_at"],
        row["expires_at"],
        row["accepted_at"],
        row["revoked_at"],
    )
