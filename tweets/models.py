"""What was said."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from users.models import User

MESSAGE_MAX_CODE_POINTS = 280


class TweetQuerySet(models.QuerySet["Tweet"]):
    def newest_first(self) -> Self:
        """In the order of every timeline: by id, descending."""
        return self.order_by("-id")


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
