"""Who there is, and who follows whom."""

from collections.abc import Iterator

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class User(AbstractUser):
    """Someone who tweets and follows; `username` is unique."""


class FollowQuerySet(models.QuerySet["Follow"]):
    def follower_id_batches(self, followed_id: int, size: int) -> Iterator[list[int]]:
        """Ids of the followers of `followed_id`, ascending, at most `size` at a time.

        Each batch is one index-only scan that starts behind the previous batch (keyset), so a
        batch costs the same however many came before it. One array a batch spares Python a row
        object a follower.
        """
        after = 0
        while True:
            batch: list[int] | None = (
                self.filter(followed_id=followed_id, follower_id__gt=after)
                .order_by("follower_id")
                .values("follower_id")[:size]
                .aggregate(ids=ArrayAgg("follower_id"))["ids"]
            )
            if not batch:
                return
            # The aggregate keeps no promise about order; only its content is bounded.
            batch.sort()
            yield batch
            after = batch[-1]


class Follow(models.Model):
    """`follower` follows `followed`."""

    follower = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="follows", db_index=False
    )
    followed = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="followed_by", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = FollowQuerySet.as_manager()

    class Meta:
        constraints = [
            # Also the index for "whom does X follow".
            models.UniqueConstraint(
                fields=["follower", "followed"],
                name="follow_once",
                violation_error_message="This user is followed already.",
            ),
            models.CheckConstraint(
                condition=~Q(follower=F("followed")),
                name="follow_not_self",
                violation_error_message="Users can't follow themselves.",
            ),
        ]
        # "The followers of X", in id order, from the index alone.
        indexes = [models.Index(fields=["followed", "follower"], name="follow_followers_of")]

    def __str__(self) -> str:
        return f"{self.follower_id} follows {self.followed_id}"
