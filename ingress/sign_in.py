"""Signing in over HTTP: register, tokens for a password or a refresh token, log out, public keys.

Place in the path: before it; these endpoints take no credentials but those in the body. Rules are
`auth`'s; this module speaks JSON and OAuth 2.0's forms (RFC 6749, sections 4.3 and 6).
"""

from typing import Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import Response

from auth.accounts import PlainText
from auth.identity import Identity
from auth.principal import Scope
from auth.sign_in import Newcomer, SignedIn
from core.errors import InvalidRequest, MalformedBody, UnknownParameter
from ingress.client_address import client_address
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.path import RequestPath
from ingress.responses import json_response, with_headers

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_BYTES = 2**16
MAX_FIELDS = 20
MAX_SECRET = 1024
NOT_STORED = {"cache-control": "no-store"}
"""RFC 6749, section 5.1."""
OF_OAUTH = ("scope", "client_id", "client_secret")
"""Fields that OAuth clients send and that mean nothing here."""


class RegisterRequest(BaseModel):
    """POST /v1/auth/register."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=320)
    password: SecretStr = Field(max_length=MAX_SECRET)
    name: PlainText
    tenant_name: PlainText | None = None
    """Of the new tenant; the user's own name when left out."""
    invitation: SecretStr | None = Field(None, max_length=MAX_SECRET)
    """The token of an invitation; the user joins its tenant."""


class TokenRequest(BaseModel):
    """POST /v1/auth/token, as JSON or as a form."""

    model_config = ConfigDict(extra="forbid")

    grant_type: Literal["password", "refresh_token"] = "password"
    username: str | None = Field(None, max_length=320)
    """The email address."""
    email: str | None = Field(None, max_length=320)
    """The same."""
    password: SecretStr | None = Field(None, max_length=MAX_SECRET)
    refresh_token: SecretStr | None = Field(None, max_length=MAX_SECRET)
    tenant_id: PlainText | None = None
    """For users with several tenants; the first that they joined when left out."""


class RefreshRequest(BaseModel):
    """POST /v1/auth/refresh."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: SecretStr = Field(max_length=MAX_SECRET)


class LogoutRequest(BaseModel):
    """POST /v1/auth/logout: with a refresh token here, or an access token in the header."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: SecretStr | None = Field(None, max_length=MAX_SECRET)
    everywhere: bool = False
    """All sessions of the user; with an access token."""


class SignInEndpoints:
    """Handlers over `auth.sign_in`."""

    def __init__(self, path: RequestPath, identity: Identity) -> None:
        self._path = path
        self._identity = identity
        self._sign_in = identity.sign_in

    def endpoints(self) -> list[Endpoint]:
        return [
            _public("/v1/auth/register", self.register, "Make an account", RegisterRequest, 201),
            _public("/v1/auth/token", self.token, "Log in", TokenRequest),
            _public("/v1/auth/refresh", self.refresh, "New tokens", RefreshRequest),
            _public("/v1/auth/logout", self.logout, "End a session", LogoutRequest),
            Endpoint(
                "GET",
                "/.well-known/jwks.json",
                self.keys,
                "Public keys of our access tokens",
                public=True,
            ),
        ]

    async def register(self, exchange: Exchange) -> Response:
        request = await exchange.parse(RegisterRequest)
        newcomer = Newcomer(
            request.email, request.password, request.name, request.tenant_name, request.invitation
        )
        return tokens(await self._sign_in.register(newcomer, self._address(exchange)), 201)

    async def token(self, exchange: Exchange) -> Response:
        request = validate(TokenRequest, await _document(exchange))
        if request.grant_type == "refresh_token":
            if request.refresh_token is None:
                raise InvalidRequest("'refresh_token' is required", "refresh_token")
            return tokens(await self._sign_in.refresh(request.refresh_token))
        return tokens(await self._log_in(request, self._address(exchange)))

    async def refresh(self, exchange: Exchange) -> Response:
        request = await exchange.parse(RefreshRequest)
        return tokens(await self._sign_in.refresh(request.refresh_token))

    async def logout(self, exchange: Exchange) -> Response:
        request = await exchange.parse(LogoutRequest)
        if request.refresh_token is not None:
            await self._sign_in.log_out(request.refresh_token)
        else:
            principal = await self._path.authorize(exchange.key, Scope.USAGE)
            await self._sign_in.log_out_session(principal, everywhere=request.everywhere)
        return json_response({"logged_out": True})

    async def keys(self, exchange: Exchange) -> Response:
        del exchange
        headers = {"cache-control": "public, max-age=300"}
        return with_headers(json_response(self._identity.tokens.jwks), headers)

    async def _log_in(self, request: TokenRequest, address: str | None) -> SignedIn:
        email = request.username if request.email is None else request.email
        if email is None or (request.username or email) != email:
            raise InvalidRequest("give the email address as 'username' or as 'email'", "username")
        if request.password is None:
            raise InvalidRequest("'password' is required", "password")
        return await self._sign_in.log_in(email, request.password, address, request.tenant_id)

    def _address(self, exchange: Exchange) -> str | None:
        return client_address(exchange.http, forwarded_for=self._identity.settings.forwarded_for)


def tokens(signed_in: SignedIn, status: int = 200) -> Response:
    """OAuth 2.0's answer with tokens, and who they are for."""
    principal = signed_in.principal
    content = {
        "access_token": signed_in.access.token.get_secret_value(),
        "token_type": "bearer",
        "expires_in": signed_in.access.expires_in_s,
        "refresh_token": signed_in.refresh_token.get_secret_value(),
        "scope": " ".join(sorted(principal.scopes)),
        "user_id": principal.user_id,
        "tenant_id": principal.tenant_id,
        "role": principal.role,
    }
    return with_headers(json_response(content, status), NOT_STORED)


async def _document(exchange: Exchange) -> dict[str, Any]:
    """A JSON object, or a form as one."""
    kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        return await exchange.document()
    try:
        text = (await exchange.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise MalformedBody("the body is not a valid form") from error
    if len({name for name, _ in pairs}) != len(pairs):
        raise MalformedBody("the form has a field twice")
    document = {name: value for name, value in pairs if name not in OF_OAUTH}
    if not document.keys() <= TokenRequest.model_fields.keys():
        # Not quoted: a JSON body that is called a form is one field, named like the password.
        raise UnknownParameter("the form has an unknown field")
    return document


def _public(
    path: str, handler: Any, summary: str, request: type[BaseModel], status: int = 200
) -> Endpoint:
    return Endpoint(
        "POST",
        path,
        handler,
        summary,
        request,
        public=True,
        status=status,
        max_body_bytes=MAX_BYTES,
    )
