"""Claims: which rows of the outbox a round works on, and for which followers."""

import time
from typing import NamedTuple

from psycopg import RawCursor
from psycopg.rows import TupleRow

from api.fields import MAX_ID
from backends.slots import Slots
from timelines.delivery import front
from timelines.lists.entries import Entry
from timelines.lists.packing import Change
from timelines.models import FanOut

# Ranges per round. A round takes few of them, so that other workers find some too.
RANGE_ROWS = 1
# Followers per row and round. Every worker takes part in a long fan-out, so its rounds have to be
# short: they keep the tweets that arrive meanwhile waiting.
WHOLE_FOLLOWERS = 16_384
RANGE_FOLLOWERS = 8_192

# For the transaction. A plan that was made and kept while the outbox was empty would scan the whole
# table, which takes seconds once the outbox is full. The commit does not wait for the disk: if
# Postgres crashes just afterwards, the rows are back, and delivering them again is harmless.
SETTINGS = """
    SELECT set_config('enable_seqscan', 'off', true),
        set_config('synchronous_commit', 'off', true)
"""

# The row that has been due longest comes first. A row waits for earlier turns of its tweet: a
# retraction never overtakes a part of the delivery, and if an id is reused, the new delivery never
# overtakes a part of the old retraction. Don't use NOT EXISTS here: if autovacuum has analyzed the
# table while all of its rows were dead, the planner makes that a join which reads them all for each
# row (10 s with 300,000).
_DUE = """
    SELECT * FROM timelines_fanout AS row
    WHERE {which} AND next_attempt_at BETWEEN $3 AND statement_timestamp()
    AND (
        SELECT true FROM timelines_fanout AS earlier
        WHERE earlier.tweet_id = row.tweet_id AND earlier.turn < row.turn LIMIT 1
    ) IS NULL
    ORDER BY next_attempt_at, id
    LIMIT {most} FOR UPDATE SKIP LOCKED
"""
# $1: maximum number of whole fan-outs, $2: number of followers in all, $3: where to start.
CLAIM = f"""
    WITH whole AS MATERIALIZED (
        {_DUE.format(which=f"up_to_follower_id = {MAX_ID}", most="$1")}
    ), range AS MATERIALIZED (
        {_DUE.format(which=f"up_to_follower_id < {MAX_ID}", most=RANGE_ROWS)}
    ), claimed AS (
        SELECT *, {WHOLE_FOLLOWERS} AS most FROM whole
        UNION ALL SELECT *, {RANGE_FOLLOWERS} FROM range
    ), share AS (
        SELECT $2 / greatest(1, count(*)) AS size FROM claimed
    )
    SELECT id, kind, tweet_id, author_id, after_follower_id, up_to_follower_id,
    first_slot, last_slot, attempts, batch.size, ARRAY(
        SELECT follower_id FROM users_follow
        WHERE followed_id = claimed.author_id
        AND follower_id > claimed.after_follower_id AND follower_id <= claimed.up_to_follower_id
        ORDER BY follower_id LIMIT batch.size
    ), extract(epoch FROM clock_timestamp() - created_at)::float
    FROM share, claimed
    CROSS JOIN LATERAL (
        -- Searching a list takes about four times as long as pushing onto it.
        SELECT greatest(
            1, least(share.size, most) / CASE kind WHEN 'retract' THEN 4 ELSE 1 END
        ) AS size
    ) AS batch
    ORDER BY next_attempt_at, id
"""  # noqa: S608 (joined from constants)


class Claim(NamedTuple):
    """One claimed row with its next batch of followers, ascending, at most `size`.

    A row for some slots is only for those followers in the batch whose lists are in these slots.
    """

    id: int
    kind: str
    tweet_id: int
    author_id: int
    after_follower_id: int
    up_to_follower_id: int
    first_slot: int
    last_slot: int
    attempts: int
    size: int
    follower_ids: list[int]
    created: float  # when the row was inserted, by the clock of time.perf_counter()

    @property
    def is_range(self) -> bool:
        """Whether the row is a range of a fan-out that was split."""
        return self.up_to_follower_id < MAX_ID

    @property
    def is_last(self) -> bool:
        """Whether the batch is shorter than it may be, so that no follower of the row is left."""
        return len(self.follower_ids) < self.size

    @property
    def change(self) -> Change:
        """The change to the lists of this batch."""
        return Change(
            Entry(self.tweet_id, self.author_id),
            self.follower_ids,
            is_retraction=self.kind == FanOut.Kind.RETRACT,
            slots=Slots(self.first_slot, self.last_slot),
        )


def claim(cursor: RawCursor[TupleRow], rows: int, followers: int) -> list[Claim]:
    """Lock due rows that no other worker holds, and read about `followers` followers.

    `rows` is the maximum number of fan-outs that were not split. Up to RANGE_ROWS ranges are
    claimed in addition.
    """
    cursor.execute(SETTINGS)
    cursor.execute(CLAIM, [rows, followers, front.start(cursor)])
    now = time.perf_counter()
    return [Claim._make((*row, now - seconds)) for *row, seconds in cursor.fetchall()]
