"""Tweets in the OpenAPI document."""

from rest_framework import serializers

from api.fields import ID, ID_DIGITS
from api.schema import digits, parameter
from tweets.idempotency import HEADER, KEY_PATTERN

EXAMPLE = {
    "id": "17",
    "userId": "3",
    "userName": "louis",
    "message": "hello",
    "createdAt": "2026-01-05T09:31:00Z",
}
TWEET_ID = parameter("tweet_id", "path", digits(ID_DIGITS), "The tweet's id.")
KEY = parameter(
    HEADER,
    "header",
    {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
    "Makes the request safe to retry: for 24 hours the same user's same key returns the first "
    "response and stores no second tweet. A UUID is a good key.",
)


class Tweet(serializers.Serializer[None]):
    """A tweet."""

    id = serializers.RegexField(ID, help_text="A decimal number; later tweets have higher ones.")
    userId = serializers.RegexField(ID, help_text="The author's id.")  # noqa: N815
    userName = serializers.CharField(help_text="The author's name.")  # noqa: N815
    message = serializers.CharField(help_text="1 to 280 Unicode code points.")
    createdAt = serializers.DateTimeField(help_text="The time of the post, in UTC.")  # noqa: N815
