"""From tweet ids to displayed tweets."""

from collections.abc import Sequence
from typing import NamedTuple

from psycopg.rows import TupleRow

from backends.postgres import binary_cursor
from timelines.lists import admission
from timelines.lists.listed import Source
from timelines.models import Flag
from tweets.displayed import COLUMNS, DisplayedTweet
from users.authentication import Bearer, is_bearer
from users.models import User

# Tweets by followed authors whose delivery is slow, within bounds. _HYDRATE checks the follow
# anyway; the condition on author_id only makes this fast. With it Postgres reads two pages of an
# index, and without it probes once per flag: 200 us for 200 flags. The inner ORDER BY makes the
# planner use the index that begins with the follower.
_FLAGGED = f"""
    SELECT tweet_id FROM timelines_flag
    WHERE author_id = ANY(ARRAY(
        SELECT followed_id FROM users_follow
        WHERE follower_id = ANY(ARRAY[{{reader}}])
        AND followed_id = ANY(ARRAY(SELECT author_id FROM timelines_flag))
        ORDER BY follower_id, followed_id
    ))
    AND tweet_id > {{above}} AND tweet_id < {{below}}
    AND (
        done_at IS NULL
        OR done_at > statement_timestamp() - interval '{Flag.LINGER_SECONDS} seconds'
    )
"""  # noqa: S608 (joined from constants)
# Returns a row per tweet; if none is left, one row without a tweet; without such a reader, no row.
# Subqueries, not joins: the planner may turn a join into a scan of everybody that the reader
# follows. The one on `follow` certifies the tweet, the other one finds the author.
_HYDRATE = f"""
    SELECT reader.follows_version, {{generation}}, {{is_bearer}}, tweet.* {{place}}
    FROM {{readers}}
    LEFT JOIN LATERAL (
        SELECT {COLUMNS}
        FROM tweets_tweet AS tweet
        CROSS JOIN LATERAL (
            SELECT (SELECT username FROM users_user WHERE id = tweet.author_id) AS username
        ) AS author
        WHERE tweet.id = ANY({{tweet_ids}}::bigint[] || ARRAY({_FLAGGED}))
        AND (
            SELECT true FROM users_follow
            WHERE follower_id = reader.id AND followed_id = tweet.author_id
        )
    ) AS tweet ON true
    WHERE reader.id = {{reader}}
    ORDER BY tweet.id DESC
"""  # noqa: S608 (joined from constants)
# $1: the reader, $2: tweet ids, $3 and $4: the exclusive bounds of this batch, $5: the slot of the
# list, $6: the identity of the server that it was read from, $7: the digest of the reader's token.
HYDRATE = _HYDRATE.format(
    **{"place": "", "readers": "users_user AS reader", "reader": "$1", "tweet_ids": "$2"},
    **{"above": "$3", "below": "$4", "generation": admission.generation("$5", "$6")},
    is_bearer=is_bearer("reader", "$7"),
)
# The same for many at once: each parameter is an array with an element for each of them.
HYDRATE_ALL = _HYDRATE.format(
    place=", asked.place",
    readers="""
        unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::text[])
        WITH ORDINALITY AS asked(reader_id, tweet_ids, above, below, slot, identity, place)
        JOIN users_user AS reader ON reader.id = asked.reader_id
    """,
    generation=admission.generation("asked.slot", "asked.identity"),
    is_bearer="NULL",
    **{name: f"asked.{name}" for name in ("tweet_ids", "above", "below")},
    reader="asked.reader_id",
)
# $1: readers, $2: a tweet for each of them.
_UNCERTIFIED = """
    SELECT reader_id, tweet_id FROM unnest($1::bigint[], $2::bigint[]) AS shown(reader_id, tweet_id)
    WHERE (
        SELECT true FROM tweets_tweet AS tweet WHERE tweet.id = shown.tweet_id AND (
            SELECT true FROM users_follow
            WHERE follower_id = shown.reader_id AND followed_id = tweet.author_id
        )
    ) IS NULL
"""


class Hydrated(NamedTuple):
    """Those of the tweets that may be shown, newest first, and what makes a list believed."""

    follows_version: int  # the reader's
    generation: int | None  # of the source's lists; None if another server is admitted
    tweets: list[DisplayedTweet]


class Asked(NamedTuple):
    """What is to be hydrated: tweets for a reader, whose ids a list at `source` has.

    A tweet with above < id < below whose delivery is slow is included, even if the list does not
    have it yet.
    """

    reader_id: int
    tweet_ids: Sequence[int]
    source: Source
    above: int
    below: int

    @property
    def parameters(self) -> tuple[int, str, int, int, int, str]:
        """The parameters of HYDRATE, without the last one."""
        # Formatting the array here takes a fifth of the time that psycopg needs.
        array = f"{{{','.join(map(str, self.tweet_ids))}}}"
        return self.reader_id, array, self.above, self.below, *self.source


def hydrate(
    reader_id: int,
    tweet_ids: Sequence[int],
    source: Source,
    *,
    above: int,
    below: int,
    bearer: Bearer | None = None,
) -> Hydrated:
    """Return those of the tweets that belong to the reader's home timeline at this moment.

    A deleted tweet, or one whose author the reader does not follow, is left out, even if a list
    still has it. Also finds out whether the reader's token is valid. Raises User.DoesNotExist.
    """
    asked = Asked(reader_id, tweet_ids, source, above, below).parameters
    with binary_cursor() as cursor:
        cursor.execute(HYDRATE, (*asked, bearer.digest if bearer else None))
        rows = cursor.fetchall()
    if not rows:
        raise User.DoesNotExist
    if bearer:
        bearer.is_valid = rows[0][2]
    return _hydrated(rows)


def hydrate_all(asked: Sequence[Asked]) -> list[Hydrated | None]:
    """Hydrate for many readers in one round trip. None stands for a reader who does not exist."""
    found: list[list[TupleRow]] = [[] for _ in asked]
    with binary_cursor() as cursor:
        cursor.execute(
            HYDRATE_ALL, [*map(list, zip(*(each.parameters for each in asked), strict=True))]
        )
        for row in cursor.fetchall():
            found[row[-1] - 1].append(row)
    return [_hydrated(rows) if rows else None for rows in found]


def _hydrated(rows: Sequence[TupleRow]) -> Hydrated:
    version, generation, *_ = rows[0]
    tweets = [DisplayedTweet._make(row[3:8]) for row in rows if row[3] is not None]
    return Hydrated(version, generation, tweets)


def uncertified(shown: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those pairs of a reader and a tweet where the tweet must not be shown any more."""
    with binary_cursor() as cursor:
        cursor.execute(_UNCERTIFIED, [*map(list, zip(*shown, strict=True))])
        return cursor.fetchall()
