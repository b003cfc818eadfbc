"""Rounds over the outbox: claim rows, read their followers, push or retract, finish."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from django.db import transaction
from psycopg import RawCursor
from psycopg.rows import TupleRow

from backends import metrics
from backends.postgres import binary_cursor
from backends.valkey import Unavailable
from timelines.delivery import flags, ranges
from timelines.delivery.claims import RANGE_ROWS, Claim, claim
from timelines.delivery.ranges import Rest
from timelines.delivery.tally import Tally
from timelines.lists import admission, changes
from timelines.lists.changes import Outcome
from timelines.models import FanOut

# A round is limited to about 0.2 s of work, shared evenly by the rows that it claims.
ROUND_ROWS = 200
ROUND_FOLLOWERS = 65_536
# How long a row waits after its first, second, ... consecutive failure. The last one repeats.
PAUSES_SECONDS = (1, 5, 30, 120, 600)
# The same for followers whose server did not answer. It answers soon, or loses its admission.
SERVER_PAUSES_SECONDS = (1, 2, 4)

DELETE = "DELETE FROM timelines_fanout WHERE id = ANY($1)"
# $1: row ids, $2: the followers up to which they are served, $3: their last followers.
MOVE_ON = """
    UPDATE timelines_fanout AS row
    SET after_follower_id = done.served, up_to_follower_id = done.up_to,
        next_attempt_at = clock_timestamp(), attempts = 0, last_error = ''
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS done (id, served, up_to)
    WHERE row.id = ANY($1) AND row.id = done.id
"""
PAUSE = """
    UPDATE timelines_fanout
    SET attempts = attempts + 1, last_error = $1,
        next_attempt_at = clock_timestamp() + $2 * interval '1 second'
    WHERE id = $3
"""


# What a server did not take becomes a row of its own, so that the others' lists don't get the tweet
# again. $1: row ids, $2: last followers, $3 and $4: slots, $5: seconds to wait, $6: errors.
SET_ASIDE = """
    INSERT INTO timelines_fanout (
        kind, tweet_id, author_id, turn, created_at, after_follower_id, up_to_follower_id,
        first_slot, last_slot, attempts, last_error, next_attempt_at
    )
    SELECT kind, tweet_id, author_id, turn, created_at, after_follower_id, part.up_to,
        part.first_slot, part.last_slot, attempts + 1, part.error,
        clock_timestamp() + part.pause * interval '1 second'
    FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::int[], $6::text[])
        AS part (id, up_to, first_slot, last_slot, pause, error)
    JOIN timelines_fanout AS row ON row.id = part.id
    WHERE row.id = ANY($1)
"""


_CLAIM, _PUSH, _FINISH = map(metrics.ROUND_SECONDS.labels, ("claim", "push", "finish"))
_FINISHED, _FAILED = map(metrics.ROWS.labels, ("finished", "failed"))
tally = Tally()


class Round(NamedTuple):
    """What a round did: rows claimed, rows finished, lists reached, rows that failed."""

    claimed: int = 0
    finished: int = 0
    reached: int = 0
    failed: int = 0
    leaves_ranges: bool = False  # whether there are probably ranges for other workers


def run_round(rows: int = ROUND_ROWS, followers: int = ROUND_FOLLOWERS) -> Round:
    """Run one round in one transaction. A worker that dies in it loses the round, not the rows.

    Raises Unavailable.
    """
    claims: list[Claim] = []
    try:
        with transaction.atomic(), binary_cursor() as cursor:
            started = time.perf_counter()
            claims = claim(cursor, rows, followers)
            if not claims:
                return Round()
            admissions = admission.current(cursor)
            claimed_at = time.perf_counter()
            outcomes = changes.apply([claimed.change for claimed in claims], admissions)
            pushed_at = time.perf_counter()
            done = finish(cursor, claims, outcomes)
        tally.add(
            {
                metrics.ROUNDS: 1,
                _CLAIM: claimed_at - started,
                _PUSH: pushed_at - claimed_at,
                _FINISH: time.perf_counter() - pushed_at,
                _FINISHED: done.finished,
                _FAILED: done.failed,
                metrics.DELIVERIES: done.reached,
            }
        )
        return done
    except Unavailable:
        metrics.FAILED_ROUNDS.inc()
        flags.raise_after_failure(claims)
        raise


def drain(seconds: float, share: Callable[[], None] | None = None) -> bool:
    """Run rounds until nothing is due or the time is up. Return whether there may be more.

    `share` is called once if there is work that another worker could do at the same time.
    """
    deadline = time.monotonic() + seconds
    while (done := run_round()).claimed:
        if share and done.leaves_ranges:
            share()
            share = None
        if time.monotonic() > deadline:
            return True
    return False


def finish(
    cursor: RawCursor[TupleRow], claims: Sequence[Claim], outcomes: Sequence[Outcome]
) -> Round:
    """Delete the rows that are done, advance the others, and postpone those that failed."""
    failed = _set_aside(cursor, claims, outcomes)
    done: list[Claim] = []
    moved: list[Claim] = []
    for claimed, outcome in zip(claims, outcomes, strict=True):
        if outcome.error:
            pause = PAUSES_SECONDS[min(claimed.attempts, len(PAUSES_SECONDS) - 1)]
            cursor.execute(PAUSE, [outcome.error, pause, claimed.id])
            failed.append(claimed)
        else:
            (done if claimed.is_last else moved).append(claimed)
    if done:
        cursor.execute(DELETE, [[claimed.id for claimed in done]])
        # To count each of them would take a thirtieth of a small delivery's time.
        if created := [each.created for each in done if each.kind == FanOut.Kind.DELIVER]:
            metrics.ARRIVAL.observe(time.perf_counter() - min(created))
    rests = list(ranges.long_rests(cursor, moved))
    has_split = bool(moved) and _move_on(cursor, moved, rests)
    flags.raise_for(cursor, [rest.claim for rest in rests], failed)
    reached = sum(outcome.reached for outcome in outcomes if not outcome.error)
    leaves_ranges = has_split or sum(claimed.is_range for claimed in claims) >= RANGE_ROWS
    return Round(len(claims), len(done), reached, len(failed), leaves_ranges)


def _set_aside(
    cursor: RawCursor[TupleRow], claims: Sequence[Claim], outcomes: Sequence[Outcome]
) -> list[Claim]:
    """Add a row for what each server did not take. Return the claims of these rows."""
    parts = [
        (
            claimed.id,
            claimed.up_to_follower_id if claimed.is_last else claimed.follower_ids[-1],
            *miss.slots,
            SERVER_PAUSES_SECONDS[min(claimed.attempts, len(SERVER_PAUSES_SECONDS) - 1)],
            miss.error,
        )
        for claimed, outcome in zip(claims, outcomes, strict=True)
        if not outcome.error
        for miss in outcome.missed
    ]
    if parts:
        cursor.execute(SET_ASIDE, [list(column) for column in zip(*parts, strict=True)])
    return [c for c, outcome in zip(claims, outcomes, strict=True) if outcome.missed]


def _move_on(cursor: RawCursor[TupleRow], moved: Sequence[Claim], rests: Sequence[Rest]) -> bool:
    """Advance the rows and split those with long rests. Return whether any was split."""
    shortened = ranges.split(cursor, rests)
    served = {claimed.id: claimed.follower_ids[-1] for claimed in moved}
    up_to = [shortened.get(claimed.id, claimed.up_to_follower_id) for claimed in moved]
    cursor.execute(MOVE_ON, [list(served), list(served.values()), up_to])
    return bool(shortened)
