"""The low-water id: every tweet that may still arrive has a higher id.

All ids up to it are settled, so no transaction will commit one of them, and all deliveries of their
tweets are done or flagged. Pages show flagged tweets. An older low-water id is lower, and therefore
safe. A page takes it before it reads the list: the list then has what was delivered before.
"""

from functools import cache

from backends.postgres import binary_cursor
from backends.refreshed import Refreshed
from tweets.settled import REFRESH_SECONDS, Settled

# $1: the id to start above. What is pending below was flagged before, or is no new tweet. A deleted
# tweet will not arrive, but its delivery may fail for long.
PENDING = """
    SELECT tweet_id FROM timelines_fanout AS row
    WHERE tweet_id > $1 AND kind = 'deliver'
    AND (
        SELECT true FROM timelines_flag AS flag
        WHERE flag.tweet_id = row.tweet_id AND done_at IS NULL
    ) IS NULL
    AND (SELECT true FROM tweets_tweet AS tweet WHERE tweet.id = row.tweet_id)
    ORDER BY tweet_id LIMIT 1
"""


class LowWater:
    """The highest low-water id that this process knows of."""

    def __init__(self) -> None:
        self._settled = Settled()
        self._id = 0

    def look(self) -> int:
        """Return the low-water id."""
        highest = self._settled.look()
        with binary_cursor() as cursor:
            # It is planned each time: a plan from a time when the outbox was empty would scan it.
            cursor.execute(PENDING, [min(self._id, highest)], prepare=False)
            row = cursor.fetchone()
        self._id = min(highest, row[0] - 1) if row else highest
        return self._id


@cache
def low_water() -> Refreshed[int]:
    """Return this process's low-water id."""
    return Refreshed(LowWater().look, first=0, seconds=REFRESH_SECONDS)
