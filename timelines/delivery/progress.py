"""How far a tweet's delivery is, according to the outbox."""

from typing import NamedTuple

from backends.postgres import binary_cursor
from backends.slots import ALL, Slots
from timelines.lists import store

# Those with the lowest ids. Counting them takes 13 to 25 ms, or 150 ms if the pending row is for
# some slots only.
COUNTED_FOLLOWERS = 100_000

# $1: the tweet. If nothing is pending, the result is one row without a range. A range beyond the
# counted followers counts none. Ids are needed only for ranges of some slots.
PROGRESS = f"""
    WITH tweet AS MATERIALIZED (
        SELECT id, author_id FROM tweets_tweet WHERE id = $1
    ), counted AS MATERIALIZED (
        SELECT count(*) AS followers, coalesce(max(follower_id), 0) AS last FROM (
            SELECT follower_id FROM users_follow
            WHERE followed_id = (SELECT author_id FROM tweet)
            ORDER BY follower_id LIMIT {COUNTED_FOLLOWERS}
        ) AS first
    )
    SELECT row.id IS NOT NULL, counted.followers, first_slot, last_slot, waiting.followers,
        waiting.ids
    FROM tweet CROSS JOIN counted
    LEFT JOIN timelines_fanout AS row
        ON row.tweet_id = tweet.id AND row.author_id = tweet.author_id AND row.kind = 'deliver'
    LEFT JOIN LATERAL (
        SELECT count(*) AS followers, array_agg(follower_id) FILTER (
            WHERE row.first_slot > {ALL.first} OR row.last_slot < {ALL.last}
        ) AS ids
        FROM users_follow
        WHERE followed_id = row.author_id AND follower_id > row.after_follower_id
        AND follower_id <= least(row.up_to_follower_id, counted.last)
    ) AS waiting ON true
"""  # noqa: S608 (joined from constants)


class Progress(NamedTuple):
    """The state of a delivery. `followers` is at most COUNTED_FOLLOWERS."""

    is_done: bool
    followers: int
    reached: int


def progress(tweet_id: int) -> Progress | None:
    """Return how many of the author's followers the tweet has reached, None if there is no tweet.

    A follower counts as reached when no delivery to it is pending. Those without a list need none,
    but count only once a round has come to them.
    """
    with binary_cursor() as cursor:
        # It is planned each time: a plan from a time when the outbox was empty would scan it.
        rows = cursor.execute(PROGRESS, [tweet_id], prepare=False).fetchall()
    if not rows:
        return None
    is_pending, followers = rows[0][:2]
    waiting = 0
    for _, _, first, last, count, ids in rows:
        waiting += count if ids is None else sum(store.slot(i) in Slots(first, last) for i in ids)
    # Two deliveries of one tweet can be pending, if its author was changed and changed back.
    return Progress(not is_pending, followers, max(0, followers - waiting))
