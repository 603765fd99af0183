"""Signing in: from a password, a refresh token or an invitation to tokens.

Place in the path: beside it. Whoever fails learns nothing: an unknown email and a wrong password
get the same answer after the same work. Passwords and tokens are never logged.
"""

from dataclasses import dataclass, replace

from pydantic import SecretStr

from auth.access_tokens import AccessTokens, IssuedToken
from auth.attempts import Attempts, too_many
from auth.database import Database
from auth.directory import Directory
from auth.email import normalized
from auth.identity_settings import Registration
from auth.invitations import Invitations
from auth.members import add_member
from auth.passwords import Passwords, require_good
from auth.principal import Principal, Role
from auth.sessions import Session, Sessions, end_all
from auth.user_principals import UserPrincipals
from auth.users import User, Users, add_user, has_hash, replace_hash
from core.errors import Forbidden, InvalidCredentials, InvalidKey, InvalidRequest

REGISTERING = "registering"
"""What is counted of who registers; where addresses are known no email, which each try may vary."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a login gives: who it is, and tokens."""

    principal: Principal
    access: IssuedToken
    refresh_token: SecretStr


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who wants an account."""

    email: str
    password: SecretStr
    name: str
    tenant_name: str | None = None
    """Of the tenant to be made, where nobody invited."""
    invitation: SecretStr | None = None


class SignIn:
    """Every method raises StoreUnavailable when a store does not answer.

    Args:
        registration: who may make an account.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        users: Users,
        principals: UserPrincipals,
        sessions: Sessions,
        invitations: Invitations,
        passwords: Passwords,
        tokens: AccessTokens,
        attempts: Attempts,
        registration: Registration,
    ) -> None:
        self._database = database
        self._directory = directory
        self._users = users
        self._principals = principals
        self._sessions = sessions
        self._invitations = invitations
        self._passwords = passwords
        self._tokens = tokens
        self._attempts = attempts
        self._registration = registration

    async def register(self, newcomer: Newcomer, address: str | None) -> SignedIn:
        """Make a user: of the tenant that it is invited to, else of a new one that it owns.

        Raises Forbidden when registration is not open to it, InvalidRequest for an email or a
        password that cannot be, Conflict for an email that is taken, InvalidCredentials for an
        invitation that is not good, LimitReached.
        """
        self._require_registration(newcomer)
        email = normalized(newcomer.email)
        require_good(newcomer.password, email)
        counted = REGISTERING if address is not None else f"{REGISTERING} {email}"
        await self._attempts.begin(counted, address)
        if newcomer.invitation is not None:  # before the work of hashing
            await self._invitations.find(newcomer.invitation, email)
        password_hash = await self._passwords.hash(newcomer.password)
        async with self._database.transaction() as connection:
            user = await add_user(connection, email, newcomer.name, password_hash)
            if newcomer.invitation is not None:
                invitation = await self._invitations.accept(connection, newcomer.invitation, user)
                tenant_id = invitation.tenant_id
            else:
                name = newcomer.tenant_name or newcomer.name
                tenant_id = (await self._directory.add_tenant(connection, name)).id
                await add_member(connection, tenant_id, user.id, Role.OWNER)
        await self._directory.announce()
        await self._attempts.remember(email, address)
        return await self._issue(await self._sessions.open(user.id, tenant_id))

    async def log_in(
        self,
        email: str,
        password: SecretStr,
        address: str | None = None,
        tenant_id: str | None = None,
    ) -> SignedIn:
        """Tokens for a password, for one tenant: the first that the user joined if none is named.

        Raises InvalidCredentials, LimitReached, Forbidden for who has no tenant (of that id).
        """
        email = normalized(email)
        await self._attempts.begin(email, address)
        user = await self._in_the_crowd(email, password, address)
        await self._attempts.succeeded(email, address)
        await self._attempts.remember(email, address)
        tenants = [m.tenant_id for m in await self._users.memberships(user.id)]
        chosen = next((t for t in tenants if tenant_id in (None, t)), None)
        if chosen is None:
            raise Forbidden("this user belongs to no such tenant", "tenant_id")
        async with self._database.transaction() as connection:
            # Whoever sets another password waits for this session, and ends it, or we see that.
            if not await has_hash(connection, user):
                raise InvalidCredentials("the email or the password is wrong")
            session = await self._sessions.open_in(connection, user.id, chosen)
        return await self._issue(session)

    async def refresh(self, token: SecretStr) -> SignedIn:
        """New tokens for a refresh token, which is used up. Raises InvalidCredentials."""
        return await self._issue(await self._sessions.refresh(token))

    async def log_out(self, token: SecretStr) -> None:
        """End the session of a refresh token, its access tokens included."""
        await self._sessions.close(token)

    async def log_out_session(self, principal: Principal, *, everywhere: bool) -> None:
        """End the principal's session, or all of its user's. Raises Forbidden for a key."""
        if principal.user_id is None or principal.session is None:
            raise Forbidden("only a session can be logged out")
        only = None if everywhere else principal.session
        await self._sessions.close_all(principal.user_id, only=only)

    async def change_password(
        self,
        principal: Principal,
        current: SecretStr,
        wanted: SecretStr,
        address: str | None = None,
    ) -> None:
        """Another password; every other session of the user ends with the former one, at once.

        Raises InvalidCredentials for a wrong current one, InvalidRequest, LimitReached, Forbidden
        for who does not log in here.
        """
        if principal.session is None or principal.user_id is None:
            raise Forbidden("only who logged in here with a password can change it")
        user = await self._users.find(principal.user_id)
        if user.email is None or user.password_hash is None:
            raise Forbidden("this user has no password here")
        require_good(wanted, user.email)
        await self._attempts.begin(user.email, address)
        if not await self._passwords.check(current, user.password_hash):
            raise InvalidCredentials("the current password is wrong", "current_password")
        await self._attempts.succeeded(user.email, address)
        fresh = await self._passwords.hash(wanted)
        async with self._database.transaction() as connection:
            is_current = await replace_hash(connection, user.id, user.password_hash, fresh)
            if is_current:
                await end_all(connection, user.id, but=principal.session)
        if is_current:
            await self._directory.announce()
        else:  # there is another password by now, or this one's hash made anew
            await self.change_password(principal, current, wanted, address)

    async def _in_the_crowd(self, email: str, password: SecretStr, address: str | None) -> User:
        """The user of a right password. While too many are wrong only who logged in lately is
        looked at, and all who fail get one answer after the same time: it tells of nobody whether
        there is such a user.
        """
        crowded_s = await self._attempts.crowded_s(email, address)
        if crowded_s is not None and not await self._attempts.is_familiar(email, address):
            await self._passwords.pretend()
            raise too_many(crowded_s)
        try:
            return await self._checked(email, password)
        except InvalidCredentials as error:
            await self._attempts.failed()
            if crowded_s is not None:
                raise too_many(crowded_s) from error
            raise

    async def _checked(self, email: str, password: SecretStr) -> User:
        user = await self._users.named(email)
        stored = None if user is None else user.password_hash
        is_right = await self._passwords.check(password, stored)
        if user is None or stored is None or not is_right or not user.is_active:
            raise InvalidCredentials("the email or the password is wrong")
        if not self._passwords.is_outdated(stored):
            return user
        fresh = await self._passwords.hash(password)
        if await self._users.replace_hash(user.id, stored, fresh):
            return replace(user, password_hash=fresh)
        return await self._checked(email, password)  # there is another one by now

    async def _issue(self, session: Session) -> SignedIn:
        try:
            principal = await self._principals.of(session.user_id, session.tenant_id, session.id)
        except InvalidKey as error:
            raise InvalidCredentials("the refresh token is not valid") from error
        assert principal.role is not None
        access = self._tokens.issue(session.user_id, session.tenant_id, principal.role, session.id)
        return SignedIn(principal, access, session.refresh_token)

    def _require_registration(self, newcomer: Newcomer) -> None:
        if self._registration is Registration.CLOSED:
            raise Forbidden("registration is closed here")
        if self._registration is Registration.INVITED and newcomer.invitation is None:
            raise Forbidden("registration needs an invitation here", "invitation")
        if newcomer.invitation is not None and newcomer.tenant_name is not None:
            raise InvalidRequest("who is invited makes no tenant", "tenant_name")
