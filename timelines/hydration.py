"""From ids to displayable tweets."""

from collections.abc import Sequence

from tweets.serializers import DisplayedTweet, displayed
from users.models import User
from users.postgres import binary_cursor

# $1: the reader, $2: tweet ids. One row a tweet, or one row of nulls when none is left; no row at
# all when there is no reader.
# The subqueries, on `follow`, which certifies each tweet, and on the author, are probes of an index
# for each tweet; of a join the planner may make a scan of all that the reader follows.
HYDRATE = """
    SELECT reader.follows_version,
           tweet.id, tweet.author_id, tweet.username, tweet.message, tweet.created_at
    FROM users_user AS reader
    LEFT JOIN LATERAL (
        SELECT id, author_id, message, created_at,
               (SELECT username FROM users_user WHERE id = author_id) AS username
        FROM tweets_tweet
        WHERE id = ANY($2::bigint[])
        AND (
            SELECT true FROM users_follow
            WHERE follower_id = reader.id AND followed_id = author_id
        )
    ) AS tweet ON true
    WHERE reader.id = $1
    ORDER BY tweet.id DESC
"""


def hydrate(reader_id: int, tweet_ids: Sequence[int]) -> tuple[int, list[DisplayedTweet]]:
    """The reader's follows_version, and those of the tweets in the home timeline, newest first.

    A deleted tweet, or one whose author the reader does not follow at this moment, is not among
    them, whatever a list in Redis says. Raises User.DoesNotExist when there is no such reader.
    """
    array = (
        f"{{{','.join(map(str, tweet_ids))}}}"  # as psycopg would write it, in a fifth of the time
    )
    with binary_cursor() as cursor:
        cursor.execute(HYDRATE, [reader_id, array])
        rows = cursor.fetchall()
    if not rows:
        raise User.DoesNotExist
    return rows[0][0], [displayed(row[1:]) for row in rows if row[1] is not None]
