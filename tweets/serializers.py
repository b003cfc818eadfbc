"""Tweets from and to JSON."""

from datetime import datetime
from typing import Any, TypedDict

from rest_framework import serializers

from api import access
from api.fields import IdField, TextField
from tweets.models import MESSAGE_MAX_CODE_POINTS, DisplayedTweet, Tweet


class TweetJSON(TypedDict):
    """A tweet in a response. Ids are strings: JavaScript's numbers can't hold all of them."""

    id: str
    userId: str
    userName: str
    message: str
    createdAt: datetime


def to_json(tweet: DisplayedTweet) -> TweetJSON:
    """Return the tweet as the API shows it."""
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

    default_error_messages = {"null": "A tweet is needed: `userId` and `message`."}

    userId = IdField(  # noqa: N815 (the API's own name)
        source="author_id",
        required=False,
        help_text="The author. By default the user whose token it is; staff may name anybody. An "
        "open API requires it.",
    )
    message = TextField(
        max_length=MESSAGE_MAX_CODE_POINTS,
        help_text="The message. White space around it is removed, and something must be left.",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields. An open API knows no sender who could be the default author."""
        fields = super().get_fields()
        fields["userId"].required = access.is_open()
        return fields
