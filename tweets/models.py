"""What was said."""

from datetime import datetime
from typing import Self

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import Q
from django.db.models.functions import Now
from django.db.models.signals import post_save

from users.models import User
from users.postgres import binary_cursor

MESSAGE_MAX_CODE_POINTS = 280
# A tweet in the order of the columns that are displayed: id, author's id and username, message,
# creation.
DisplayRow = tuple[int, int, str, str, datetime]
# $1: the author, $2: the message. The author's lock keeps a concurrent deletion from failing the
# foreign key at commit.
POST = """
    WITH author AS (
        SELECT id, username FROM users_user WHERE id = $1 FOR KEY SHARE
    ), posted AS (
        INSERT INTO tweets_tweet (author_id, message)
        SELECT id, $2 FROM author
        RETURNING id, author_id, message, created_at
    )
    SELECT posted.id, posted.author_id, author.username, posted.message, posted.created_at
    FROM posted, author
"""


class IdempotencyKey(models.Model):
    """The answer that a POST with this key got, for those that `user` sends again."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField()  # of author and message, which make the rest of the answer
    tweet_id = models.BigIntegerField()  # the tweet itself may have been deleted since
    username = models.CharField(max_length=150)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.key}"


class TweetQuerySet(models.QuerySet["Tweet"]):
    def newest_first(self) -> Self:
        """In the order of every timeline: by id, descending."""
        return self.order_by("-id")

    def post(self, *, author_id: int, message: str) -> DisplayRow | None:
        """Store a tweet and send `post_save`; as displayed, or None if there is no such author.

        One statement: half the time that the ORM takes to fetch the author and to insert.
        """
        with binary_cursor() as cursor:
            cursor.execute(POST, [author_id, message])
            row: DisplayRow | None = cursor.fetchone()
        if row is not None:
            announce(row)
        return row


def announce(row: DisplayRow) -> None:
    """Send `post_save` for a tweet that was stored by a statement written by hand."""
    tweet_id, author_id, _, message, created_at = row
    tweet = Tweet(id=tweet_id, author_id=author_id, message=message, created_at=created_at)
    post_save.send(
        Tweet,
        instance=tweet,
        created=True,
        update_fields=None,
        raw=False,
        using=DEFAULT_DB_ALIAS,
    )


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
        # A user timeline, newest first, from any id downwards.
        indexes = [models.Index("author", models.F("id").desc(), name="tweet_by_author")]

    def __str__(self) -> str:
        return f"{self.pk}: {self.message[:40]}"
