"""Who there is, and who follows whom."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class User(AbstractUser):
    """Someone who tweets and follows; `username` is unique."""

    # Raised by a trigger whenever whom the user follows changes; what is saved here is ignored.
    follows_version = models.BigIntegerField(db_default=0, editable=False)


class Follow(models.Model):
    """`follower` follows `followed`."""

    follower = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="follows", db_index=False
    )
    followed = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="followed_by", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

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
