"""Settings of logging in: how long tokens last, who may register, whose tokens count as well.

Place in the path: `identity` in the gateway's `args`. Secrets are references.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from auth.principal import Role
from core.model import Frozen
from core.settings import SecretReference


class Registration(StrEnum):
    """Who may make an account."""

    OPEN = "open"
    """Anybody; who comes without an invitation gets a tenant of its own."""
    INVITED = "invited"
    """Who has an invitation."""
    CLOSED = "closed"
    """Nobody."""


class IssuerSettings(Frozen):
    """One identity provider whose tokens are accepted beside our own."""

    issuer: str = Field(min_length=1)
    """`iss` of its tokens."""
    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"]
    """The one algorithm that it signs with; what a token says of itself does not count."""
    audience: str = Field(min_length=1)
    """`aud` that its tokens must have."""
    secret: SecretReference | None = None
    """HS256: reference to the secret shared with it, at least 32 bytes."""
    jwks: dict[str, Any] | None = None
    """The others: its public keys (RFC 7517), here …"""
    jwks_file: str | None = None
    """… or in a file, from the checkout when relative …"""
    jwks_url: str | None = Field(None, pattern=r"^https?://")
    """… or at this URL, read again when a key is not known."""
    tenant: str | None = None
    """The tenant of all its users …"""
    tenant_claim: str | None = None
    """… or the claim that names it. The operator's own tenant cannot be named by a claim."""
    user_claim: str = "sub"
    """The claim that tells its users apart."""
    role: Role = Role.MEMBER
    """What its users are, unless the next two say otherwise."""
    role_claim: str | None = None
    """The claim with a user's role or roles."""
    roles: Mapping[str, Role] = Field(default_factory=dict)
    """Values of that claim, and what they are here; the highest counts."""

    @model_validator(mode="after")
    def _has_one_source_of_each(self) -> Self:
        keys = [self.jwks, self.jwks_file, self.jwks_url]
        given = sum(source is not None for source in keys)
        if self.algorithm == "HS256":
            if self.secret is None or given:
                raise ValueError("HS256 needs 'secret' and no keys")
        elif self.secret is not None or given != 1:
            raise ValueError("give one of 'jwks', 'jwks_file' and 'jwks_url', and no 'secret'")
        if (self.tenant is None) == (self.tenant_claim is None):
            raise ValueError("give 'tenant' or 'tenant_claim'")
        return self


class IdentitySettings(Frozen):
    """`identity` of the gateway."""

    registration: Registration = Registration.INVITED
    issuer: str = "carillon"
    """`iss` of our access tokens."""
    audience: str = "carillon"
    """`aud` of our access tokens."""
    signing_secret: SecretReference | None = None
    """What the signing key is derived from; the pepper when not given."""
    access_token_s: int = Field(900, gt=0, le=86_400)
    """How long an access token lasts."""
    refresh_token_s: int = Field(2_592_000, gt=0)
    """How long a session lasts that is not refreshed."""
    invitation_s: int = Field(604_800, gt=0)
    """How long an invitation lasts."""
    login_attempts: int = Field(10, gt=0)
    """Tries of one email from one address in a window; ten times as many from one address, and of
    one email; a hundred times as many failures in all."""
    login_window_s: int = Field(900, gt=0)
    forwarded_for: bool = False
    """A proxy in front of us sets `X-Forwarded-For`: its last entry is the client's address.
    Without one all clients look alike, and only emails are counted."""
    issuers: tuple[IssuerSettings, ...] = ()
    """Identity providers whose tokens are accepted too."""
    open_webui_secret: SecretReference | None = None
    """Open WebUI's `FORWARD_USER_INFO_HEADER_JWT_SECRET`: trusted keys' usage is recorded by human.
    """

    @model_validator(mode="after")
    def _issuers_differ(self) -> Self:
        names = [self.issuer, *(issuer.issuer for issuer in self.issuers)]
        if len(set(names)) != len(names):
            raise ValueError("two issuers have the same name")
        return self
