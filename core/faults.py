"""Faults found by validators that look at several fields: told at the field that is to blame.

Place in the path: step 1, inside pydantic's validation of a request. It renders nothing.
"""

from typing import NoReturn

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


def refuse_at(place: tuple[int | str, ...], message: str, kind: str = "value_error") -> NoReturn:
    """Raise a ValidationError, which pydantic puts below the field that it is validating."""
    # The text is a value, not the template: what a caller sent may have braces in it.
    error = PydanticCustomError(kind, "{message}", {"message": message})
    raise ValidationError.from_exception_data(
        "request", [InitErrorDetails(type=error, loc=place, input=None)]
    )
