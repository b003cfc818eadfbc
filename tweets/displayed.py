"""Tweets as the API shows them, read by hand-written SQL, which takes half the ORM's time."""

from datetime import datetime
from typing import NamedTuple

from psycopg.rows import TupleRow

from api.paging import MOST_ROWS, Page, Window
from backends.postgres import binary_cursor


class DisplayedTweet(NamedTuple):
    """A tweet with everything that the API shows of it."""

    id: int
    author_id: int
    username: str
    message: str
    created_at: datetime


COLUMNS = "tweet.id, tweet.author_id, author.username, tweet.message, tweet.created_at"
# A subquery, not a join: the planner may turn a join into a scan of all users.
FROM = """
    FROM tweets_tweet AS tweet CROSS JOIN LATERAL (
        SELECT (SELECT username FROM users_user WHERE id = tweet.author_id) AS username
    ) AS author
"""
ONE = f"SELECT {COLUMNS} {FROM} WHERE tweet.id = $1"


def _page(order: str, condition: str = "") -> str:
    """Return the statement for a page: $1 is max_id, $2 since_id, $3 the number of rows.

    Postgres plans a prepared statement once, unless plans for known parameters look cheaper. The
    inner limit tells the planner that there are few rows, and the subquery hides $3 from it.
    """
    return f"""
        SELECT * FROM (
            SELECT {COLUMNS} {FROM} WHERE tweet.id < $1 AND tweet.id > $2 {condition}
            ORDER BY tweet.id {order} LIMIT {MOST_ROWS}
        ) AS page LIMIT (SELECT $3::bigint)
    """  # noqa: S608


OF_AUTHOR = "AND tweet.author_id = $4"
DOWN, UP = _page("DESC"), _page("ASC")
AUTHORS_DOWN, AUTHORS_UP = _page("DESC", OF_AUTHOR), _page("ASC", OF_AUTHOR)


def one(tweet_id: int) -> DisplayedTweet | None:
    """Return the tweet, or None if there is none with that id."""
    rows = _execute(ONE, tweet_id)
    return DisplayedTweet(*rows[0]) if rows else None


def page(window: Window) -> Page[DisplayedTweet]:
    """Return the page of all tweets that the window asks for."""
    return _made(window, _execute(UP if window.after else DOWN, *window.bounds))


def page_of_author(author_id: int, window: Window) -> Page[DisplayedTweet]:
    """Return the page of the author's tweets that the window asks for."""
    statement = AUTHORS_UP if window.after else AUTHORS_DOWN
    return _made(window, _execute(statement, *window.bounds, author_id))


def _made(window: Window, rows: list[TupleRow]) -> Page[DisplayedTweet]:
    return window.page([DisplayedTweet._make(row) for row in rows])


def _execute(statement: str, *parameters: int) -> list[TupleRow]:
    with binary_cursor() as cursor:
        return cursor.execute(statement, parameters).fetchall()
