"""Open WebUI's word on who the human is, for metering per person.

Place in the path: step 2, beside an API key that an operator marked as trusted; of others the word
is not heard. Open WebUI calls with one key for all its users; with
`FORWARD_USER_INFO_HEADER_JWT_SECRET` set it signs who is asking. The key decides what may be done;
the signed name only becomes the `user_id` of the usage rows. Its unsigned headers are never read.
"""

from pydantic import SecretStr

from auth.access_tokens import invalid_token, looks_like_token, verified
from auth.issuer_keys import SharedSecret

HEADER = b"x-openwebui-user-jwt"
ISSUER = "open-webui"
ALGORITHM = "HS256"
PREFIX = "open-webui:"
MAX_SUBJECT = 150


class ForwardedUsers:
    """Verifies the header. Raises SettingsError for a secret that is too short.

    Args:
        secret: Open WebUI's `FORWARD_USER_INFO_HEADER_JWT_SECRET`.
    """

    def __init__(self, secret: SecretStr) -> None:
        self._secret = SharedSecret(secret.get_secret_value().encode()).secret

    def user_id(self, token: str) -> str:
        """What usage rows call the human. Raises InvalidKey, ExpiredKey."""
        if not looks_like_token(token):
            raise invalid_token()
        payload = verified(token, self._secret, ALGORITHM, ISSUER, None)["payload"]
        subject = str(payload["sub"])
        if not subject or len(subject) > MAX_SUBJECT or not subject.isprintable():
            raise invalid_token()
        return PREFIX + subject
