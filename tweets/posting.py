"""Storing a tweet in one statement, which takes half the time of the ORM's two."""

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS
from django.db.models.signals import post_save

from backends.postgres import binary_cursor
from tweets.displayed import COLUMNS, DisplayedTweet
from tweets.models import Tweet
from users.authentication import Bearer, is_bearer


def statement(*ctes: str) -> str:
    """Return the statement that stores and returns a tweet.

    $1 is the author's id, $2 the message, and $3 the digest of a token of `sender`, or null.
    The last of the common table expressions is `slot`; it gives the tweet's `id` and `created_at`,
    or no row. Locking the author keeps a concurrent deletion from violating the foreign key.
    """
    return f"""
        WITH author AS (
            SELECT id, username FROM users_user WHERE id = $1 FOR KEY SHARE
        ), {", ".join(ctes)}, tweet AS (
            INSERT INTO tweets_tweet (id, author_id, message, created_at)
            SELECT slot.id, $1, $2, slot.created_at FROM slot
            RETURNING id, author_id, message, created_at
        )
        SELECT {COLUMNS} FROM tweet, author
    """  # noqa: S608 (joined from constants)


def sender(user_id: str) -> str:
    """Return the common table expression of the user who posts."""
    return f"""sender AS (
        SELECT id FROM users_user AS bearer
        WHERE id = {user_id} AND ($3::text IS NULL OR {is_bearer("bearer", "$3")}) FOR KEY SHARE
    )"""  # noqa: S608


POST = statement(
    sender("$1"),
    """slot AS (
        SELECT nextval('tweets_tweet_id_seq') AS id, statement_timestamp() AS created_at
        FROM author, sender
    )""",
)


def post(author_id: int, message: str, bearer: Bearer | None = None) -> DisplayedTweet | None:
    """Store a tweet and send `post_save`. Return None if there is no such author.

    `bearer` is the author's. Raises InvalidToken if it is not valid.
    """
    return store(POST, bearer, [author_id, message])


def store(sql: str, bearer: Bearer | None, parameters: Sequence[object]) -> DisplayedTweet | None:
    """Run a `statement`, and send `post_save` as `Tweet.save()` would. Raises InvalidToken."""
    author_id, message, *others = parameters
    digest = bearer.digest if bearer else None
    with binary_cursor() as cursor:
        row = cursor.execute(sql, [author_id, message, digest, *others]).fetchone()
    if bearer:
        bearer.is_valid = True if row else None
        bearer.confirm()
    if row is None:
        return None
    shown = DisplayedTweet(*row)
    stored = {name: value for name, value in shown._asdict().items() if name != "username"}
    options = {"created": True, "update_fields": None, "raw": False, "using": DEFAULT_DB_ALIAS}
    post_save.send(Tweet, instance=Tweet(**stored), **options)
    return shown
