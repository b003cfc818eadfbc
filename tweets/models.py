"""Tweets, and the idempotency keys of the requests that posted them."""

from datetime import datetime
from typing import NamedTuple

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from api.paging import Page, Window
from users.models import User

MESSAGE_MAX_CODE_POINTS = 280


class DisplayedTweet(NamedTuple):
    """A tweet with everything that the API shows of it."""

    id: int
    author_id: int
    username: str
    message: str
    created_at: datetime


# The same in hand-written SQL, and for the ORM.
DISPLAYED_COLUMNS = "tweet.id, tweet.author_id, author.username, tweet.message, tweet.created_at"
_DISPLAYED_FIELDS = ("id", "author_id", "author__username", "message", "created_at")


class TweetQuerySet(models.QuerySet["Tweet"]):
    def page(self, window: Window) -> Page[DisplayedTweet]:
        """Return the newest tweets within the window."""
        rows = window.select(self).values_list(*_DISPLAYED_FIELDS)
        return Page.cut([DisplayedTweet._make(row) for row in rows], window.limit)

    def displayed(self, tweet_id: int) -> DisplayedTweet | None:
        """Return one tweet, or None if there is none with that id."""
        row = self.filter(pk=tweet_id).values_list(*_DISPLAYED_FIELDS).first()
        return DisplayedTweet(*row) if row else None


class Tweet(models.Model):
    """A message of 1 to 280 Unicode code points by `author`."""

    author = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="tweets", db_index=False
    )
    message = models.CharField(max_length=MESSAGE_MAX_CODE_POINTS)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TweetQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(message=""),
                name="tweet_says_something",
                violation_error_message="A tweet needs a message.",
            )
        ]
        # Serves user timelines, newest first, from any id downwards.
        indexes = [models.Index("author", models.F("id").desc(), name="tweet_by_author")]

    def __str__(self) -> str:
        return f"{self.pk}: {self.message[:40]}"


class IdempotencyKey(models.Model):
    """A POST's key, and with the request itself, what its first response was made of."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField()  # of author and message
    tweet_id = models.BigIntegerField()  # not a foreign key: the tweet may be deleted
    username = models.CharField(max_length=150)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_age")]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.key}"
