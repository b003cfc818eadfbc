"""Keeps the ids of a graph that is loaded apart from users that no graph created."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator

from django.db import connection

from api.fields import MAX_ID

MOST_NAMED = 6
# The users whose names are not those that a graph gives.
_OTHERS = """
    SELECT id, username FROM users_user
    WHERE username <> 'user' || id AND id IN (
        SELECT follower_id FROM pg_temp.edge UNION SELECT followed_id FROM pg_temp.edge
        UNION SELECT generate_series(%s::bigint, %s::bigint)
    )
    ORDER BY id LIMIT %s
"""


class IdsDontFit(Exception):
    """Ids of the graph are too high, or belong to users that no graph created."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of commands that load a graph."""
    parser.add_argument(
        "--offset", type=int, default=0, help="add this to every id of the graph (default 0)"
    )
    parser.add_argument(
        "--merge",
        action="store_true",
        help="add follows also to existing users whose names are not user<id>",
    )


def shifted(edges: Iterable[tuple[int, int]], offset: int) -> Iterator[tuple[int, int]]:
    """Yield the edges with `offset` added to both ids. Raises IdsDontFit."""
    for one, other in edges:
        if max(one, other) + offset > MAX_ID:
            raise IdsDontFit(f"{max(one, other)} + {offset} is not a user id (1 to {MAX_ID})")
        yield one + offset, other + offset


def check(first_id: int, last_id: int) -> None:
    """Raise IdsDontFit if the table `edge` or the range of ids contains such users."""
    with connection.cursor() as cursor:
        cursor.execute(_OTHERS, [first_id, last_id, MOST_NAMED + 1])
        found = [f"{user_id} ({name})" for user_id, name in cursor.fetchall()]
    if found:
        if len(found) > MOST_NAMED:
            found[MOST_NAMED:] = ["..."]
        raise IdsDontFit(
            f"the graph has the ids of users that no graph created: {', '.join(found)}; --offset "
            "gives the graph other ids, and --merge adds its follows to these users"
        )
