"""Tweets from and to JSON."""

from typing import Any

from rest_framework import serializers

from api import access
from api.fields import ID, IdField, TextField
from tweets.displayed import DisplayedTweet
from tweets.models import MESSAGE_MAX_CODE_POINTS, Tweet


def to_json(tweet: DisplayedTweet) -> dict[str, object]:
    """Return the tweet as the API shows it. Ids are strings: JavaScript's numbers are too short."""
    tweet_id, author_id, username, message, created_at = tweet
    return {
        "id": str(tweet_id),
        "userId": str(author_id),
        "userName": username,
        "message": message,
        "createdAt": created_at,
    }


class NewTweetSerializer(serializers.Serializer[Tweet]):
    """The body of a POST."""

    example = {"userId": "3", "message": "hello"}
    default_error_messages = {"null": "A tweet is needed: `userId` and `message`."}

    userId = IdField(  # noqa: N815 (the API's own name)
        source="author_id",
        label="User id",
        required=False,
        help_text="The author's id. By default that of the token's user. Users with the permission "
        "tweets.add_tweet may name anybody. An open API requires it.",
    )
    message = TextField(
        max_length=MESSAGE_MAX_CODE_POINTS,
        help_text="The message. White space around it is removed. The rest must not be empty.",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields. In an open API no sender is known who could be the default author."""
        fields = super().get_fields()
        fields["userId"].required = access.is_open()
        return fields


class TweetSerializer(serializers.Serializer[None]):
    """A tweet."""

    example = {
        "id": "17",
        "userId": "3",
        "userName": "louis",
        "message": "hello",
        "createdAt": "2026-01-05T09:31:00Z",
    }
    id = serializers.RegexField(ID, help_text="A decimal number; later tweets have higher ones.")
    userId = serializers.RegexField(ID, help_text="The author's id.")  # noqa: N815
    userName = serializers.CharField(help_text="The author's name.")  # noqa: N815
    message = serializers.CharField(help_text="1 to 280 Unicode code points.")
    createdAt = serializers.DateTimeField(help_text="The time of the post, in UTC.")  # noqa: N815
