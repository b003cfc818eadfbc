"""Bulk loading of follow graphs, from edge lists or generated."""

import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import floor
from typing import NamedTuple

from django.db import IntegrityError, connection, transaction

from api.fields import MAX_ID, parse_id
from users import apart

# The follows that one transaction inserts. They lock their followers for some 0.1 s.
PIECE_EDGES = 5_000
# In a header line, perhaps quoted. `1;2` and `0x1` are not column names.
COLUMN_NAME = re.compile(r'"?[^\W\d][\w-]*"?')
INCOMPLETE = "some of it may be stored: run the command again to complete it"


class Edge(NamedTuple):
    """A follow, by the ids of its users."""

    follower_id: int
    followed_id: int


Piece = tuple[Edge, Edge]  # the edges above the first one, up to and including the second one


class BadEdge(Exception):
    """A line is not an edge. The text names the line and the problem."""


class NameTaken(Exception):
    """A missing user can't be created, because another user has its name."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The numbers of users and follows that were new."""

    users: int
    follows: int


def parse_edges(lines: Iterable[str]) -> Iterator[Edge]:
    """Yield the edges of a text: two ids per line, separated by a comma, tabs or spaces.

    Empty lines, comments (#) and a header line with the names of columns are skipped. Raises
    BadEdge.
    """
    is_first = True
    for number, line in enumerate(lines, start=1):
        fields = line.replace(",", " ").split()
        if not fields or fields[0].startswith("#"):
            continue
        is_header = is_first and all(COLUMN_NAME.fullmatch(field) for field in fields)
        is_first = False
        if not is_header:
            yield _parse_edge(number, fields)


def _parse_edge(number: int, fields: list[str]) -> Edge:
    if len(fields) != 2:  # noqa: PLR2004 (an edge has two ends)
        raise BadEdge(f"line {number}: two ids are needed, but it has {len(fields)} fields")
    ids = []
    for field in fields:
        if (user_id := parse_id(field)) is None:
            raise BadEdge(f"line {number}: {field!r} is not a user id (1 to {MAX_ID})")
        ids.append(user_id)
    edge = Edge(*ids)
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


def load(
    edges: Iterable[Edge], *, users_up_to: int = 0, offset: int = 0, merges: bool = True
) -> Loaded:
    """Store the edges, with `offset` added. Missing users, up to `users_up_to`, become `user<id>`.

    Unless it `merges`, raises IdsDontFit if users with these ids have other names.

    All edges are read first, so nothing is stored if `edges` raises, or after NameTaken.
    Then the missing users are stored in one transaction, and the follows in pieces, each in a
    transaction of its own. A concurrent follow waits for one piece at most. An interrupted load
    has stored whole pieces; loading again completes it. Loading twice changes nothing.
    """
    first_id, last_id = 1 + offset, users_up_to + offset
    with _staged(apart.shifted(edges, offset)):
        if not merges:
            apart.check(first_id, last_id)
        users = _insert_users(first_id, last_id)
        return Loaded(users, follows=sum(map(_insert_piece, _pieces())))


@contextmanager
def _staged(edges: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Copy the edges into a temporary table `edge`, which locks nothing for others."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE edge (follower_id bigint, followed_id bigint)")
        with cursor.copy("COPY pg_temp.edge FROM STDIN") as copy:
            for edge in edges:
                copy.write_row(edge)
        cursor.execute("CREATE INDEX ON pg_temp.edge (follower_id, followed_id)")
        cursor.execute("ANALYZE pg_temp.edge")
    try:
        yield
    finally:
        with connection.cursor() as cursor:  # a new connection, after an error, has no such table
            cursor.execute("DROP TABLE IF EXISTS pg_temp.edge")


@transaction.atomic
def _insert_users(first_id: int, last_id: int) -> int:
    with connection.cursor() as cursor:
        try:
            cursor.execute(_INSERT_USERS, [first_id, last_id])
        except IntegrityError as error:
            raise NameTaken(str(error)) from error
        users: int = cursor.rowcount
        cursor.execute(_RAISE_SEQUENCE)
        if users:
            # With old statistics each piece may scan all users, for minutes if they are a million.
            cursor.execute("ANALYZE users_user")
    return users


def _pieces() -> Iterator[Piece]:
    """Yield the pieces in the order of their followers."""
    with connection.cursor() as cursor:
        cursor.execute(_BOUNDS, [PIECE_EDGES])
        bounds = [Edge._make(row) for row in cursor.fetchall()]
    yield from pairwise([Edge(0, 0), *bounds, Edge(MAX_ID, MAX_ID)])


@transaction.atomic
def _insert_piece(piece: Piece) -> int:
    above, up_to = piece
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_PIECE, [*above, *up_to])
        follows: int = cursor.rowcount
    return follows


_INSERT_USERS = """
    INSERT INTO users_user (id, username, password, first_name, last_name, email,
                            is_superuser, is_staff, is_active, date_joined)
    SELECT id, 'user' || id, '!', '', '', '', false, false, true, now()
    FROM (SELECT follower_id AS id FROM pg_temp.edge
          UNION SELECT followed_id FROM pg_temp.edge
          UNION SELECT generate_series(%s::bigint, %s::bigint)) AS named
    ON CONFLICT (id) DO NOTHING
"""
# Never lowers it: concurrent transactions may have taken ids that are not visible yet.
_RAISE_SEQUENCE = """
    SELECT setval('users_user_id_seq', newest.id)
    FROM (SELECT max(id) AS id FROM users_user) AS newest, users_user_id_seq AS sequence
    WHERE newest.id >= sequence.last_value
"""
_BOUNDS = """
    SELECT follower_id, followed_id FROM (
        SELECT *, row_number() OVER (ORDER BY follower_id, followed_id) FROM pg_temp.edge
    ) AS numbered
    WHERE row_number %% %s = 0
    ORDER BY follower_id, followed_id
"""
_INSERT_PIECE = """
    INSERT INTO users_follow (follower_id, followed_id)
    SELECT DISTINCT follower_id, followed_id FROM pg_temp.edge
    WHERE (follower_id, followed_id) > (%s, %s) AND (follower_id, followed_id) <= (%s, %s)
    ON CONFLICT (follower_id, followed_id) DO NOTHING
"""
