"""Ranges: a long fan-out is split by follower ids, so that all workers share it."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from psycopg import RawCursor
from psycopg.rows import TupleRow

from api.fields import MAX_ID
from timelines.delivery.claims import Claim

# A fan-out is long if more followers than this are left after its first round.
LONG_FOLLOWERS = 10_000
# A range gets at most about this many followers, unless there are COUNTED_FOLLOWERS or more. These
# are two rounds: a third one would be short, and cost as much of Postgres as a full one.
FOLLOWERS_PER_RANGE = 16_384
MOST_RANGES = 64
# A round counts this many followers, which takes 25 ms; several long fan-outs share them. If all of
# them belong to one fan-out, it gets MOST_RANGES.
COUNTED_FOLLOWERS = 16 * FOLLOWERS_PER_RANGE
# Ids may be unevenly distributed, so some ranges have far more followers than others. These are
# split again when the fan-out has fewer rows than this.
FEW_ROWS = 8

# $1: row ids, $2: the followers up to which each is served, $3: how many to count for each.
# Count only for rows that may be split: counting for each range takes half of a round's time.
# The highest follower bounds the last range. A later follower needs no push, because the follow
# itself makes the list of that reader unbelieved, and the next read rebuilds it.
REST = f"""
    SELECT row.id, CASE
        WHEN row.up_to_follower_id = {MAX_ID} OR part.row_count < {FEW_ROWS} THEN (
            SELECT count(*) FROM (
                SELECT FROM users_follow
                WHERE followed_id = row.author_id
                AND follower_id > served.up_to AND follower_id <= row.up_to_follower_id
                LIMIT $3
            ) AS counted
        ) ELSE 0
    END, part.row_count, (
        SELECT max(follower_id) FROM users_follow
        WHERE followed_id = row.author_id
        AND follower_id > served.up_to AND follower_id <= row.up_to_follower_id
    )
    FROM unnest($1::bigint[], $2::bigint[]) AS served (id, up_to)
    JOIN timelines_fanout AS row ON row.id = served.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS row_count FROM timelines_fanout AS part
        WHERE part.tweet_id = row.tweet_id AND part.turn = row.turn
    ) AS part
    WHERE row.id = ANY($1)
"""  # noqa: S608 (joined from constants)
# $1: the split row's id, $2 and $3: the new ranges' bounds.
ADD = """
    INSERT INTO timelines_fanout (
        kind, tweet_id, author_id, turn, created_at, first_slot, last_slot,
        after_follower_id, up_to_follower_id
    )
    SELECT kind, tweet_id, author_id, turn, created_at, first_slot, last_slot,
        range.after, range.up_to
    FROM timelines_fanout AS row, unnest($2::bigint[], $3::bigint[]) AS range (after, up_to)
    WHERE row.id = $1
"""


class Rest(NamedTuple):
    """What is left of a claimed row after its batch."""

    claim: Claim
    followers: int  # at most COUNTED_FOLLOWERS
    row_count: int  # of the whole fan-out
    highest_follower_id: int

    def bounds(self) -> list[int]:
        """Return the last follower id of each range that the rest should be split into."""
        if self.row_count >= FEW_ROWS:
            return []
        low, high = self.claim.follower_ids[-1], self.highest_follower_id
        count = MOST_RANGES
        if self.followers < COUNTED_FOLLOWERS:
            count = max(2, ceil(self.followers / FOLLOWERS_PER_RANGE))
        return [low + (high - low) * number // count for number in range(1, count + 1)]


def long_rests(cursor: RawCursor[TupleRow], claims: Sequence[Claim]) -> Iterator[Rest]:
    """Yield the rest of each claim that has more than LONG_FOLLOWERS followers left.

    Only a fan-out's first round and rounds of ranges can leave so many, so other claims cost
    nothing.
    """
    asked = {c.id: c for c in claims if c.is_range or not c.after_follower_id}
    if asked:
        served = [c.follower_ids[-1] for c in asked.values()]
        counted = max(LONG_FOLLOWERS + 1, COUNTED_FOLLOWERS // len(asked))
        cursor.execute(REST, [list(asked), served, counted])
        for row_id, followers, row_count, highest in cursor.fetchall():
            if followers > LONG_FOLLOWERS:
                yield Rest(asked[row_id], followers, row_count, highest)


def split(cursor: RawCursor[TupleRow], rests: Sequence[Rest]) -> Mapping[int, int]:
    """Add the ranges of what is left. Return the new last follower of each row that was split."""
    shortened: dict[int, int] = {}
    for rest in rests:
        if bounds := rest.bounds():
            cursor.execute(ADD, [rest.claim.id, bounds[:-1], bounds[1:]])
            shortened[rest.claim.id] = bounds[0]
    return shortened
