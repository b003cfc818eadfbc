"""Constraints, and the queries that fan-out depends on."""

import pytest
from django.db import IntegrityError, connection

from tests.factories import FollowFactory, UserFactory
from users import graph
from users.models import User

pytestmark = pytest.mark.django_db


def test_a_user_cannot_follow_another_twice(ben: User, alyssa: User) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    with pytest.raises(IntegrityError, match="follow_once"):
        FollowFactory.create(follower=ben, followed=alyssa)


def test_users_cannot_follow_themselves(ben: User) -> None:
    with pytest.raises(IntegrityError, match="follow_not_self"):
        FollowFactory.create(follower=ben, followed=ben)


def test_usernames_are_unique(ben: User) -> None:
    with pytest.raises(IntegrityError):
        UserFactory.create(username="ben")


@pytest.mark.parametrize(
    ("select", "where", "index"),
    [
        ("follower_id", "followed_id = 3 AND follower_id > 10", "follow_followers_of"),
        ("followed_id", "follower_id = 3", "follow_once"),
    ],
)
def test_follows_are_read_by_index_only_scans_in_both_directions(
    select: str, where: str, index: str
) -> None:
    graph.load(graph.power_law_edges(500, 20, seed=1))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE users_follow")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(
            f"EXPLAIN SELECT {select} FROM users_follow WHERE {where} ORDER BY {select} LIMIT 100"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert f"Index Only Scan using {index}" in plan
    assert "Sort" not in plan
