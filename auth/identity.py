"""Identity: everything about users, built once.

Place in the path: made by the gateway; `callers` is its step 2, the rest serves endpoints. It has
no rules of its own.
"""

from auth.access_tokens import AccessTokens
from auth.attempts import Attempts
from auth.callers import Callers
from auth.database import Database
from auth.directory import Directory
from auth.epochs import Epochs
from auth.federation import Federation
from auth.identity_settings import IdentitySettings
from auth.invitations import Invitations
from auth.issuers import Issuer, Issuers
from auth.keys import KeyHasher
from auth.members import Members
from auth.open_webui import ForwardedUsers
from auth.passwords import Passwords
from auth.pipeline import Pipeline
from auth.sessions import Sessions
from auth.sign_in import SignIn
from auth.user_principals import UserPrincipals
from auth.users import Users
from core.settings import StoreSettings


class Identity:
    """The parts. Made inside the event loop that will use them. Raises SettingsError."""

    def __init__(
        self,
        settings: IdentitySettings,
        stores: StoreSettings,
        database: Database,
        valkey: Pipeline,
        hasher: KeyHasher,
        directory: Directory,
        passwords: Passwords | None = None,
    ) -> None:
        announce = directory.announce
        self.settings = settings
        self.directory = directory
        self.tokens = AccessTokens(
            (settings.signing_secret or stores.pepper).resolve(),
            settings.issuer,
            settings.audience,
            settings.access_token_s,
        )
        self.users = Users(database, announce)
        self.members = Members(database, announce, directory.plans)
        self.invitations = Invitations(database, hasher, announce, settings.invitation_s)
        self.sessions = Sessions(database, hasher, announce, settings.refresh_token_s)
        principals = UserPrincipals(database, Epochs(valkey, stores.prefix))
        self.sign_in = SignIn(
            database,
            directory,
            self.users,
            principals,
            self.sessions,
            self.invitations,
            passwords or Passwords(),
            self.tokens,
            Attempts(
                valkey, hasher, stores.prefix, settings.login_attempts, settings.login_window_s
            ),
            settings.registration,
        )
        secret = settings.open_webui_secret
        self.forwarded = None if secret is None else ForwardedUsers(secret.resolve())
        self.callers = Callers(
            directory,
            principals,
            self.tokens,
            Issuers(Issuer(issuer) for issuer in settings.issuers),
            Federation(database, announce),
        )
