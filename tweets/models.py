"""Tweets, and the idempotency keys of the requests that posted them."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from users.models import User

MESSAGE_MAX_CODE_POINTS = 280


class Tweet(models.Model):
    """A message of 1 to 280 Unicode code points by `author`."""

    author = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="tweets", db_index=False
    )
    message = models.CharField(max_length=MESSAGE_MAX_CODE_POINTS)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

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
    """The key of a POST. With the repeated request, the row reproduces the first response."""

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
