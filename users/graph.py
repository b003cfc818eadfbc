"""Bulk loading of follow graphs, from edge lists or generated."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import floor
from typing import NamedTuple

from django.core.management.color import no_style
from django.db import connection, transaction

from api.fields import MAX_ID
from users.models import Follow, User


class Edge(NamedTuple):
    """A follow, by the ids of its users."""

    follower_id: int
    followed_id: int


class BadEdge(Exception):
    """A line is not an edge. The text tells the line's number and the problem."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The numbers of users and follows that were new."""

    users: int
    follows: int


def parse_edges(lines: Iterable[str]) -> Iterator[Edge]:
    """Yield the edges of a text: two ids per line, separated by a comma, tabs or spaces.

    Empty lines, comments (#) and a header line without a number are skipped. Raises BadEdge.
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
        raise BadEdge(f"line {number}: two ids are needed, but it has {len(fields)} fields")
    for field in fields:
        if not (field.isascii() and field.isdigit() and 0 < int(field) <= MAX_ID):
            raise BadEdge(f"line {number}: {field!r} is not a user id (1 to {MAX_ID})")
    edge = Edge(*map(int, fields))
    if edge.follower_id == edge.followed_id:
        raise BadEdge(f"line {number}: user {edge.follower_id} can't follow itself")
    return edge


def power_law_edges(users: int, mean_follows: float, seed: int) -> Iterator[Edge]:
    """Yield the edges of a random graph over the ids 1 to `users`; the seed determines it.

    The number of followers has a power law with exponent 2.276, as measured on all of Twitter
    (Kwak, Lee, Park, Moon: "What is Twitter, a Social Network or a News Media?", WWW 2010). The
    number of follows has a Pareto distribution with the given mean; its maximum is half the users.
    """
    rng = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    by_popularity = rng.sample(range(1, users + 1), users)
    # With a density exponent a, popularity falls with the rank to the power of -1 / (a - 1).
    weights = list(accumulate(rank ** (-1 / (2.276 - 1)) for rank in range(1, users + 1)))
    for follower_id in range(1, users + 1):
        wanted = rng.paretovariate(2) * mean_follows / 2  # paretovariate(2) has a mean of 2
        wanted = min(floor(wanted + rng.random()), users // 2)
        followed: set[int] = set()
        while len(followed) < wanted:
            drawn = rng.choices(by_popularity, cum_weights=weights, k=wanted - len(followed))
            followed.update(user_id for user_id in drawn if user_id != follower_id)
        for followed_id in sorted(followed):
            yield Edge(follower_id, followed_id)


@transaction.atomic
def load(edges: Iterable[Edge], *, users_up_to: int = 0) -> Loaded:
    """Store the edges. Missing users, up to `users_up_to`, become `user<id>`.

    Loading twice changes nothing. An exception from `edges` undoes the whole load.
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
