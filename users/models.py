"""Users, and who follows whom."""

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

# The permission to see whom others follow, and their home timelines.
VIEW_FOLLOWS = "users.view_follow"


class User(AbstractUser):
    """Someone who tweets and follows. `username` is unique."""

    # A trigger raises it whenever the user's follows change, and ignores other writes to it.
    follows_version = models.BigIntegerField(db_default=0, editable=False)

    def check_password(self, raw_password: str | None) -> bool:
        """Return whether it is the user's password. Renew its hash if that is outdated.

        Django's own method would undo a change of the password that is committed meanwhile.
        """

        def renew(raw_password: str) -> None:
            renewed = make_password(raw_password)
            unchanged = User.objects.filter(pk=self.pk, password=self.password)
            if unchanged.update(password=renewed):
                self.password = renewed

        return check_password(raw_password, self.password, renew)


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
            # Its index also answers whom a user follows.
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
        # Answers who follows a user, ordered by id, with an index-only scan.
        indexes = [models.Index(fields=["followed", "follower"], name="follow_followers_of")]

    def __str__(self) -> str:
        return f"{self.follower_id} follows {self.followed_id}"
