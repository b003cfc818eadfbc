"""The outbox: the fan-outs that are still to be done."""

from django.db import models
from django.db.models.functions import Now


class FanOut(models.Model):
    """A piece of work: deliver or retract a tweet for the followers above `after_follower_id`.

    Triggers insert the rows in the transaction that inserts or deletes the tweet. There is no
    foreign key: a row must not lock its tweet, which may even be deleted already.
    """

    class Kind(models.TextChoices):
        DELIVER = "deliver"
        RETRACT = "retract"

    kind = models.CharField(max_length=7, choices=Kind)
    tweet_id = models.BigIntegerField()
    author_id = models.BigIntegerField()
    after_follower_id = models.BigIntegerField(
        db_default=0, help_text="Followers up to this id have been served."
    )
    attempts = models.IntegerField(db_default=0, help_text="Failures in a row.")
    # Rows are claimed in this order. A round that leaves a row unfinished sets it to the current
    # time, so that rows take turns.
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_error = models.TextField(db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "fan-out"
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], name="fanout_turn"),
            models.Index(fields=["tweet_id", "id"], name="fanout_tweet"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["deliver", "retract"]), name="fanout_kind"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} tweet {self.tweet_id}"
