"""Tweets to and from JSON."""

from datetime import datetime
from typing import Any, TypedDict

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tweets.models import MESSAGE_MAX_CODE_POINTS, DisplayRow, Tweet

# The columns of a displayed tweet, in the order that `displayed` takes.
DISPLAY_COLUMNS = ("id", "author_id", "author__username", "message", "created_at")


class DisplayedTweet(TypedDict):
    """A tweet as the API shows it; ids are decimal strings, as they outgrow JavaScript's."""

    id: str
    userId: str
    userName: str
    message: str
    createdAt: datetime


def displayed(row: DisplayRow) -> DisplayedTweet:
    """The API's form of one row of DISPLAY_COLUMNS."""
    tweet_id, author_id, username, message, created_at = row
    return {
        "id": str(tweet_id),
        "userId": str(author_id),
        "userName": username,
        "message": message,
        "createdAt": created_at,
    }


def parse_whole_number(text: str) -> int | None:
    """The number that a decimal string of at most 20 digits says, or None."""
    max_digits = 20  # as many as 64 bits can need
    return int(text) if text.isascii() and text.isdigit() and len(text) <= max_digits else None


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
            {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        ]
    }
)
class IdField(serializers.Field[int, str | int, str, Any]):
    """A database id: shown as a decimal string, accepted as that or as a whole number."""

    default_error_messages = {
        "invalid": "An id is a whole number above 0 of 63 bits, as a number or a string."
    }

    def to_internal_value(self, data: object) -> int:
        """The id. Raises ValidationError for anything but what Postgres's bigint holds above 0."""
        number = parse_whole_number(data) if isinstance(data, str) else data
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**63:
            self.fail("invalid")
        return number

    def to_representation(self, value: int) -> str:
        """The id as a decimal string."""
        return str(value)


class TextField(serializers.CharField):
    """Text, and nothing that could be made text: DRF's own field takes numbers too."""

    def to_internal_value(self, data: object) -> str:
        """The text. Raises ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class NewTweetSerializer(serializers.Serializer[Tweet]):
    """The body of a POST: `userId` and `message`."""

    default_error_messages = {"null": "A tweet is needed: `userId` and `message`."}

    # Left out, it is the user whose token it is; the name is the API's own.
    userId = IdField(  # noqa: N815
        source="author_id",
        required=settings.TWIT_OPEN_API,
        help_text="The author: anybody where the API is open; else the user itself, as if it were "
        "left out, and for staff anybody.",
    )
    message = TextField(
        max_length=MESSAGE_MAX_CODE_POINTS,
        help_text="What to say; white space around it is cut off, and something must be left.",
    )
