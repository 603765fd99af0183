"""Callers: whoever stands behind a credential, an API key or an access token.

Place in the path: step 2, when `auth.identify` does not remember the credential. It decides by form
alone which kind it is; each kind has one way of being verified.
"""

from auth.access_tokens import AccessTokens, claimed_issuer, looks_like_token
from auth.directory import Directory
from auth.federation import Federation
from auth.issuers import Issuers
from auth.principal import Principal
from auth.user_principals import UserPrincipals


class Callers:
    """Principals of every kind of credential. The `Principals` of `auth.identify`."""

    def __init__(
        self,
        directory: Directory,
        users: UserPrincipals,
        tokens: AccessTokens,
        issuers: Issuers,
        federation: Federation,
    ) -> None:
        self._directory = directory
        self._users = users
        self._tokens = tokens
        self._issuers = issuers
        self._federation = federation

    async def principal_for(self, key: str) -> Principal:
        """Who a credential acts for. Raises InvalidKey, ExpiredKey, Unavailable."""
        if not looks_like_token(key):
            return await self._directory.principal_for(key)
        if claimed_issuer(key) != self._tokens.issuer:
            return await self._foreign(key)
        claims = self._tokens.verify(key)
        return await self._users.of(
            claims.user_id, claims.tenant_id, claims.session, claims.expires_at
        )

    async def epoch(self, tenant_id: str) -> str:
        """The version of the tenant's rights, as every gateway sees it."""
        return await self._directory.epoch(tenant_id)

    async def _foreign(self, token: str) -> Principal:
        stranger = await self._issuers.verify(token)
        user_id = await self._federation.user_id(stranger)
        return await self._users.of(user_id, stranger.tenant_id, None, stranger.expires_at)
