"""Ids and texts: what the API accepts, in paths, parameters and bodies."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.errors import no_such

MAX_ID = 2**63 - 1  # Postgres's bigint
ID_DIGITS = 19  # of MAX_ID
MAX_DIGITS = 20  # of an unsigned 64-bit number, which clients may send as a bound
PATH_ID = f"[0-9]{{1,{ID_DIGITS}}}"  # in a path: 0 and 2**63 are well-formed, and found nowhere
ID = f"^[1-9][0-9]{{0,{ID_DIGITS - 1}}}$"  # as the API prints an id


def parse_whole_number(text: str) -> int | None:
    """Return the value of a decimal string of at most MAX_DIGITS digits, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def parse_id(text: str) -> int | None:
    """Return the value of a decimal string that is an id from 1 to MAX_ID, or None."""
    number = parse_whole_number(text)
    return number if number is not None and 0 < number <= MAX_ID else None


def path_id(text: str, kind: str) -> int:
    """Return the id of a user or tweet in a path. Raises NotFound if no row can have it.

    Postgres would compare a larger number with every row, as numeric.
    """
    found = parse_id(text)
    if found is None:
        raise no_such(kind, text)
    return found


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": ID},
            {"type": "integer", "minimum": 1, "maximum": MAX_ID},
        ]
    }
)
class IdField(serializers.Field[int, str | int, str, Any]):
    """A database id: printed as a decimal string, accepted as a string or a whole number."""

    default_error_messages = {
        "invalid": f"An id is a whole number from 1 to {MAX_ID}, as a number or a string."
    }

    def to_internal_value(self, data: object) -> int:
        """Return the id. Raises ValidationError unless it is from 1 to MAX_ID."""
        number = parse_id(data) if isinstance(data, str) else data
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= MAX_ID:
            self.fail("invalid")
        return number

    def to_representation(self, value: int) -> str:
        return str(value)


class TextField(serializers.CharField):
    """A string. DRF's own field also accepts numbers."""

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))
