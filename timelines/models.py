"""The outbox of fan-outs that are still to be done, the flags of slow ones, and the admissions."""

from datetime import datetime
from typing import NamedTuple

from django.db import models
from django.db.models import Count, Func, Min, Q, Value
from django.db.models.functions import Now

from api.fields import MAX_ID
from backends.slots import ALL, Slots


class ClockTimestamp(Func):
    """The current time. Now() is the time at which the transaction began."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


class Backlog(NamedTuple):
    """What is pending. A fan-out counts once, however many ranges it still has."""

    pending: int
    failing: int
    ranges: int  # rows of fan-outs that were split
    oldest: datetime | None


class FanOutQuerySet(models.QuerySet["FanOut"]):
    def backlog(self) -> Backlog:
        """Count what is pending."""
        counts = self.aggregate(
            pending=Count("turn", distinct=True),
            failing=Count("turn", distinct=True, filter=Q(attempts__gt=0)),
            ranges=Count("id", filter=Q(up_to_follower_id__lt=MAX_ID)),
            oldest=Min("created_at"),
        )
        return Backlog(**counts)


class FanOut(models.Model):
    """Work: deliver or retract a tweet for those of its author's followers within the row's bounds.

    A trigger inserts one row, for all followers, in the transaction that inserts or deletes the
    tweet. (If its author or id is changed, it inserts a retraction and a delivery.) A long fan-out
    is split into ranges, each a row, which share the `turn`. There is no foreign key: a row must
    not lock its tweet, which may even be deleted already.
    """

    class Kind(models.TextChoices):
        DELIVER = "deliver"
        RETRACT = "retract"

    kind = models.CharField(max_length=7, choices=Kind)
    tweet_id = models.BigIntegerField()
    author_id = models.BigIntegerField()
    # The fan-outs of a tweet are done in this order. It comes from the sequence of the row ids.
    turn = models.BigIntegerField(
        db_default=Func(
            Value("timelines_fanout_id_seq"),
            function="nextval",
            output_field=models.BigIntegerField(),
        ),
        editable=False,
        help_text="The ranges of one fan-out have the same number.",
    )
    after_follower_id = models.BigIntegerField(
        "after follower",
        db_default=0,
        help_text="Followers up to this id have been served, or belong to other ranges.",
    )
    up_to_follower_id = models.BigIntegerField(
        "last follower",
        db_default=MAX_ID,
        help_text="Followers above this id belong to other ranges of the same fan-out.",
    )
    # What one server did not take becomes a row of its own, for the slots of that server.
    first_slot = models.IntegerField(db_default=ALL.first, editable=False)
    last_slot = models.IntegerField(db_default=ALL.last, editable=False)
    attempts = models.IntegerField(db_default=0, help_text="Failures in a row.")
    # Rows are claimed in this order. A round that leaves a row unfinished sets it to the current
    # time, so that rows take turns. The time is always taken after the transaction has got its id:
    # see `timelines/delivery/front.py`.
    next_attempt_at = models.DateTimeField(db_default=ClockTimestamp())
    last_error = models.TextField(db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = FanOutQuerySet.as_manager()

    class Meta:
        verbose_name = "fan-out"
        # Unsplit fan-outs and ranges are claimed by separate subqueries. Each has its own index.
        indexes = [
            models.Index(
                fields=["next_attempt_at", "id"],
                name="fanout_whole",
                condition=Q(up_to_follower_id=MAX_ID),
            ),
            models.Index(
                fields=["next_attempt_at", "id"],
                name="fanout_range",
                condition=Q(up_to_follower_id__lt=MAX_ID),
            ),
            models.Index(fields=["tweet_id", "turn"], name="fanout_tweet"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["deliver", "retract"]), name="fanout_kind")
        ]

    def __str__(self) -> str:
        return f"{self.kind} tweet {self.tweet_id}"

    @property
    def has_begun(self) -> bool:
        """Whether the fan-out is past its first round."""
        return self.after_follower_id > 0 or self.up_to_follower_id < MAX_ID

    def is_for(self, reader_id: int, slot: int) -> bool:
        """Return whether the row is still to reach that follower, whose list is in that slot."""
        is_between = self.after_follower_id < reader_id <= self.up_to_follower_id
        return is_between and slot in Slots(self.first_slot, self.last_slot)


class Flag(models.Model):
    """A slow delivery. Pages show its tweet to the author's followers meanwhile.

    A flag may stay up for longer than its delivery. There is no foreign key, as in FanOut.
    """

    MOST = 200  # flags that are up at the same time, about
    MOST_RESERVED = 50  # of these, for deliveries with many followers left
    # A flag still counts for this long after its delivery is done, because a page may be made of a
    # list that was read before.
    LINGER_SECONDS = 5

    tweet_id = models.BigIntegerField(primary_key=True)
    author_id = models.BigIntegerField()
    raised_at = models.DateTimeField(db_default=Now(), editable=False)
    done_at = models.DateTimeField(
        null=True, editable=False, help_text="When the delivery was seen to be done."
    )

    class Meta:
        verbose_name = "flag"

    def __str__(self) -> str:
        return f"tweet {self.tweet_id}"


class Admission(models.Model):
    """Which server holds the lists of a range of slots. A single server has one row, for all slots.

    Pages read this table, so it is only written when something changes. Ranges don't overlap.
    """

    first_slot = models.IntegerField(primary_key=True)
    last_slot = models.IntegerField()
    # The server's identity (see backends/identity.py), or "" if no server is admitted.
    identity = models.CharField(max_length=80, db_default="")
    address = models.CharField(max_length=300, db_default="", help_text="Empty without a cluster.")
    # Lists are believed if they were built under this number. Each admission has a new one.
    generation = models.BigIntegerField()
    # Valid only on this timeline of Postgres: a promoted standby may lack the latest changes.
    database_timeline = models.CharField(max_length=8)
    admitted_at = models.DateTimeField(db_default=ClockTimestamp())
    # How long the server must be silent before another one takes its place.
    patience_seconds = models.FloatField()

    def __str__(self) -> str:
        return f"slots {self.first_slot} to {self.last_slot}"


class Sighting(models.Model):
    """When a worker last saw the server with that identity, last swept, or took a heartbeat."""

    identity = models.CharField(max_length=80, primary_key=True)
    seen_at = models.DateTimeField(db_default=ClockTimestamp())

    def __str__(self) -> str:
        return self.identity
