"""Email addresses: one spelling each.

Place in the path: logging in, inviting. Nothing is sent, and no DNS is asked: whether an address is
its user's own is what whoever invites them knows.
"""

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from core.errors import InvalidRequest

MAX_CHARACTERS = 254
# An installation may live on a private network: `.local` and its like are as good as others here.
SPECIAL_USE_DOMAIN_NAMES.clear()


def normalized(address: str) -> str:
    """The address in lower case, as it is stored and compared. Raises InvalidRequest."""
    try:
        if len(address) > MAX_CHARACTERS:
            raise InvalidRequest("the email address is too long", "email")
        found = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise InvalidRequest("the email address is not valid", "email") from error
    return found.normalized.lower()
