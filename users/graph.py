"""Follow graphs in bulk: read from an edge list or made up, loaded by COPY."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import floor

from django.core.management.color import no_style
from django.db import connection, transaction

from users.models import Follow, User

Edge = tuple[int, int]  # (follower's id, followed's id)

MAX_ID = 2**63 - 1


class BadEdge(Exception):
    """A line that is no edge; the text names the line's number and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many users and follows were new."""

    users: int
    follows: int


def parse_edges(lines: Iterable[str]) -> Iterator[Edge]:
    """The edges of a text: two ids a line, separated by a comma, tabs or spaces.

    Empty lines and those that start with # are passed over, as is a header: a first line without
    a number. Raises BadEdge at the first line that is anything else.
    """
    is_first = True
    for number, line in enumerate(lines, start=1):
        fields = line.replace(",", " ").split()
        if not fields or fields[0].startswith("#"):
            continue
        is_header = is_first and not any(field.isdigit() for field in fields)
        is_first = False
        if not is_header:
            yield _parse_edge(number, fields)


def _parse_edge(number: int, fields: list[str]) -> Edge:
    if len(fields) != 2:  # noqa: PLR2004 (an edge has two ends)
        raise BadEdge(f"line {number}: two ids are needed, here are {len(fields)} fields")
    for field in fields:
        if not (field.isascii() and field.isdigit() and 0 < int(field) <= MAX_ID):
            raise BadEdge(f"line {number}: {field!r} is not a user id (1 to {MAX_ID})")
    follower_id, followed_id = map(int, fields)
    if follower_id == followed_id:
        raise BadEdge(f"line {number}: user {follower_id} can't follow itself")
    return follower_id, followed_id


def power_law_edges(users: int, mean_follows: float, seed: int) -> Iterator[Edge]:
    """The edges of a made-up graph over the ids 1 to `users`, the same for the same seed.

    The number of followers follows a power law with exponent 2.276, as measured on the whole of
    Twitter (Kwak, Lee, Park, Moon: "What is Twitter, a Social Network or a News Media?", WWW
    2010); the number of follows a Pareto law with the given mean, and half the users at most.
    """
    rng = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    by_popularity = rng.sample(range(1, users + 1), users)
    # A density exponent a makes popularity fall with the rank to the power of -1 / (a - 1).
    weights = list(accumulate(rank ** (-1 / (2.276 - 1)) for rank in range(1, users + 1)))
    for follower_id in range(1, users + 1):
        wanted = rng.paretovariate(2) * mean_follows / 2  # a Pareto law of 2 has the mean 2
        wanted = min(floor(wanted + rng.random()), users // 2)
        followed: set[int] = set()
        while len(followed) < wanted:
            drawn = rng.choices(by_popularity, cum_weights=weights, k=wanted - len(followed))
            followed.update(user_id for user_id in drawn if user_id != follower_id)
        for followed_id in sorted(followed):
            yield follower_id, followed_id


@transaction.atomic
def load(edges: Iterable[Edge], *, users_up_to: int = 0) -> Loaded:
    """Store the edges, and the users `user<id>` that they, or `users_up_to`, name and lack.

    What exists already stays as it is, so loading twice changes nothing. All or nothing: an
    exception out of `edges` undoes the whole load.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE edge (follower_id bigint, followed_id bigint) ON COMMIT DROP"
        )
        with cursor.copy("COPY edge FROM STDIN") as copy:
            for edge in edges:
                copy.write_row(edge)
        cursor.execute(_INSERT_USERS, [users_up_to])
        users = cursor.rowcount
        cursor.execute(_INSERT_FOLLOWS)
        follows = cursor.rowcount
        for statement in connection.ops.sequence_reset_sql(no_style(), [User, Follow]):
            cursor.execute(statement)
        cursor.execute("DROP TABLE edge")
    return Loaded(users, follows)


_INSERT_USERS = """
    INSERT INTO users_user (id, username, password, first_name, last_name, email,
                            is_superuser, is_staff, is_active, date_joined)
    SELECT id, 'user' || id, '!', '', '', '', false, false, true, now()
    FROM (SELECT follower_id AS id FROM edge
          UNION SELECT followed_id FROM edge
          UNION SELECT generate_series(1, %s)) AS named
    ON CONFLICT (id) DO NOTHING
"""
_INSERT_FOLLOWS = """
    INSERT INTO users_follow (follower_id, followed_id)
    SELECT DISTINCT follower_id, followed_id FROM edge
    ON CONFLICT (follower_id, followed_id) DO NOTHING
"""
