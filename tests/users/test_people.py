"""Reading users and follows over the API."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.factories import FollowFactory, UserFactory
from users import graph
from users.models import Follow, User

pytestmark = pytest.mark.django_db


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [user["username"] for user in response.json()]


def linked(response: Any, rel: str) -> str:
    """Return where the page's link leads, or ""."""
    found = re.findall(rf'<([^>]*)>; rel="{rel}"', response.get("Link", ""))
    return str(found[0]) if found else ""


def walk(api: APIClient, path: str) -> list[str]:
    """Return the names on all pages."""
    found: list[str] = []
    while path:
        page = api.get(path)
        found += names(page)
        path = linked(page, "next")
    return found


def test_a_user_is_shown_by_id_name_and_age(api: APIClient, ben: User) -> None:
    shown = api.get(f"/users/{ben.pk}").json()
    created = ben.date_joined.isoformat().replace("+00:00", "Z")
    assert shown == {"id": str(ben.pk), "username": "ben", "createdAt": created}
    assert api.get("/users").json() == [shown]


def test_all_users_are_paged_newest_first(api: APIClient) -> None:
    everybody = [user.username for user in UserFactory.create_batch(7)][::-1]
    assert names(api.get("/users")) == everybody
    assert names(api.get("/users?limit=3")) == everybody[:3]
    assert walk(api, "/users?limit=3") == everybody


@pytest.mark.parametrize("name", ["ben", " ben ", "\uff42en", "b%C3%A9n"])
def test_a_user_is_found_by_the_exact_name_in_any_compatible_form(
    api: APIClient, ben: User, alyssa: User, name: str
) -> None:
    found = api.get(f"/users?username={name}")
    assert names(found) == ([] if "%" in name else ["ben"])
    assert "Link" not in found


def test_a_name_that_is_only_similar_finds_nobody(api: APIClient, ben: User) -> None:
    assert [names(api.get(f"/users?username={name}")) for name in ("Ben", "be", "ben%25")] == [
        [],
        [],
        [],
    ]


@pytest.mark.parametrize("name", ["", "%20", "a%00b", "x" * 151])
def test_a_name_that_nobody_can_have_is_refused(api: APIClient, name: str) -> None:
    refused = api.get(f"/users?username={name}")
    assert (refused.status_code, refused.json()["detail"].partition(":")[0]) == (400, "username")


@pytest.mark.parametrize("path", ["", "/followed", "/followers"])
@pytest.mark.parametrize("user_id", ["0", "999999", str(2**63), "9" * 19])
def test_an_unknown_user_is_a_404(api: APIClient, user_id: str, path: str) -> None:
    missing = api.get(f"/users/{user_id}{path}")
    assert missing.status_code == 404
    assert missing.json()["detail"] == f"There is no user {int(user_id)}."


@pytest.mark.parametrize("path", ["/users", "/users/{}/followed", "/users/{}/followers"])
def test_a_bad_bound_is_named(api: APIClient, ben: User, path: str) -> None:
    refused = api.get(path.format(ben.pk) + "?max_id=x")
    assert (refused.status_code, refused.json()["detail"].partition(":")[0]) == (400, "max_id")


def test_follows_are_listed_in_both_directions(
    api: APIClient, ben: User, alyssa: User, louis: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa), follow(ben, louis), follow(louis, alyssa)
    assert names(api.get(f"/users/{ben.pk}/followed")) == ["louis", "alyssa"]
    assert names(api.get(f"/users/{alyssa.pk}/followers")) == ["louis", "ben"]
    assert names(api.get(f"/users/{ben.pk}/followers")) == []
    assert names(api.get(f"/users/{alyssa.pk}/followed")) == []


def test_pages_of_follows_are_ordered_by_the_listed_user_not_by_the_follow(
    api: APIClient, ben: User
) -> None:
    others = UserFactory.create_batch(7)
    for other in others[3:] + others[:3]:
        FollowFactory.create(follower=ben, followed=other)
        FollowFactory.create(follower=other, followed=ben)
    newest_first = [other.username for other in others[::-1]]
    for path in (f"/users/{ben.pk}/followed", f"/users/{ben.pk}/followers"):
        assert walk(api, f"{path}?limit=3") == newest_first
        bounds = f"max_id={others[5].pk}&since_id={others[2].pk}"
        assert names(api.get(f"{path}?{bounds}")) == newest_first[2:4]


@pytest.mark.parametrize("path", ["followers", "followed"])
@pytest.mark.parametrize("bound", [1000, 10_000, 19_000])
def test_a_page_amid_many_follows_reads_only_its_own_entries(
    api: APIClient, path: str, bound: int
) -> None:
    graph.load(graph.power_law_edges(300, 5, seed=1), users_up_to=20_000)
    popular = UserFactory.create()
    sides = {"followers": ("{0}", "id"), "followed": ("id", "{0}")}[path]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users_follow (follower_id, followed_id) SELECT {1}, {0} FROM users_user "
            "WHERE id <= 20000 AND id % 4 = 0".format(*(side.format(popular.pk) for side in sides))
        )
        cursor.execute("ANALYZE users_follow, users_user")
        with CaptureQueriesContext(connection) as captured:
            assert len(names(api.get(f"/users/{popular.pk}/{path}?max_id={bound}&limit=20"))) == 20
        cursor.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + captured[0]["sql"])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Rows Removed" not in plan
    read = [
        int(rows) * int(loops) for rows, loops in re.findall(r"rows=(\d+)\.\d* loops=(\d+)", plan)
    ]
    assert max(read) == 21, plan
