"""Rate limits."""

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from backends import valkey
from tests.site import Site
from tests.stack import Stack
from users.models import User


@pytest.fixture
def limits(settings: Settings) -> dict[str, Any]:
    settings.TWIT_LIMITS = {"posts": (3, 60), "requests": (5, 600), "logins": (4, 60)}
    return dict(settings.TWIT_LIMITS)


def post(api: APIClient, user: User, **extra: Any) -> Any:
    return api.post("/tweets", {"userId": user.pk, "message": "hi"}, format="json", **extra)


@pytest.mark.django_db
def test_a_request_over_the_limit_gets_a_429_with_retry_after(
    api: APIClient, ben: User, limits: dict[str, Any]
) -> None:
    answers = [post(api, ben) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    assert [answer["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    refused = answers[-1]
    assert refused["X-RateLimit-Limit"] == "3"
    assert 58 <= int(refused["Retry-After"]) <= 60
    assert abs(int(refused["X-RateLimit-Reset"]) - time.time() - 60) < 3
    assert list(refused.json()) == ["detail"]
    assert api.get("/tweets").status_code == 200
    assert ben.tweets.count() == 3


@pytest.mark.django_db
def test_a_304_has_the_rate_limit_headers(api: APIClient, limits: dict[str, Any]) -> None:
    known = {"if-none-match": api.get("/tweets")["ETag"]}
    again = api.get("/tweets", headers=known)
    assert (again.status_code, again["X-RateLimit-Remaining"]) == (304, "3")


@pytest.mark.django_db
def test_posts_succeed_again_when_the_window_ends(
    api: APIClient, ben: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = {"posts": (1, 1), "requests": None, "logins": None}
    assert post(api, ben).status_code == 201
    time.sleep(0.7)
    refused = post(api, ben)
    assert (refused.status_code, refused["Retry-After"]) == (429, "1")
    time.sleep(0.4)
    assert post(api, ben).status_code == 201


@pytest.mark.django_db
def test_anonymous_clients_are_counted_by_address(api: APIClient, limits: dict[str, Any]) -> None:
    def statuses(**extra: str) -> list[int]:
        return [api.get("/tweets", **extra).status_code for _ in range(6)]  # type: ignore[arg-type]

    assert statuses(REMOTE_ADDR="192.0.2.1") == [200] * 5 + [429]
    assert statuses(REMOTE_ADDR="192.0.2.2") == [200] * 5 + [429]
    # A forged X-Forwarded-For header doesn't evade the limit.
    forged = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "192.0.2.3"}
    assert statuses(**forged) == [429] * 6


@pytest.mark.django_db
def test_without_redis_nothing_is_limited(
    api: APIClient, ben: User, limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey.server().breaker, "lets_through", lambda: False)
    answers = [post(api, ben) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert "X-RateLimit-Limit" not in answers[0]


def login(api: APIClient, username: str, password: str, address: str = "192.0.2.1") -> Any:
    credentials = {"username": username, "password": password}
    return api.post("/auth/login", credentials, format="json", REMOTE_ADDR=address)


@pytest.fixture
def account(ben: User) -> User:
    ben.set_password("right")
    ben.save()
    return ben


@pytest.mark.django_db
def test_failed_logins_are_limited_by_address(
    api: APIClient, account: User, limits: dict[str, Any]
) -> None:
    statuses = [login(api, f"user{n}", "wrong").status_code for n in range(5)]
    assert statuses == [401] * 4 + [429]
    refused = login(api, "ben", "right")
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0


@pytest.mark.django_db
def test_failed_logins_are_limited_by_account(
    api: APIClient, account: User, limits: dict[str, Any]
) -> None:
    names = ["ben", " ben", "ben\n", "ben", "ben"]  # whitespace around names is stripped
    statuses = [login(api, names[n], "wrong", f"192.0.2.{n}").status_code for n in range(5)]
    assert statuses == [401] * 4 + [429]
    assert login(api, "ben", "right", "192.0.2.9").status_code == 429


@pytest.mark.django_db
def test_a_login_without_a_username_counts_against_no_account(
    api: APIClient, account: User, limits: dict[str, Any]
) -> None:
    for _ in range(3):
        assert api.get("/auth/login", REMOTE_ADDR="192.0.2.1").status_code == 405
        nameless = api.post("/auth/login", {}, format="json", REMOTE_ADDR="192.0.2.1")
        assert nameless.status_code == 400
    # A request without a username counts against its address, but against no account.
    assert login(api, "None", "x", "192.0.2.2")["X-RateLimit-Remaining"] == "3"
    assert login(api, "ben", "right").status_code == 200


@pytest.mark.django_db
def test_successful_logins_are_not_counted(
    api: APIClient, account: User, limits: dict[str, Any]
) -> None:
    assert [login(api, "ben", "right").status_code for _ in range(9)] == [200] * 9


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/auth/session/login"])
def test_logins_by_form_are_limited_too(
    api: APIClient, account: User, limits: dict[str, Any], path: str
) -> None:
    def attempt(password: str) -> Any:
        form = urlencode({"username": "ben", "password": password})
        return api.post(path, form, content_type="application/x-www-form-urlencoded")

    account.is_staff = True
    account.save()
    assert attempt("right").status_code == 302
    for _ in range(4):
        assert "Too many" not in attempt("wrong").content.decode()
    assert "Too many failed logins" in attempt("right").content.decode()


@pytest.mark.django_db
def test_an_unknown_user_takes_as_long_as_a_wrong_password(
    api: APIClient, account: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = settings.TWIT_LIMITS | {"logins": None}
    User.objects.create_user("unusable")
    account_closed = User.objects.create_user("closed", password="right", is_active=False)
    taken: dict[str, list[float]] = {"ben": [], "nobody": [], "unusable": [], "closed": []}
    for _ in range(9):
        for name, series in taken.items():
            started = time.process_time()
            answer = login(api, name, "wrong")
            series.append(time.process_time() - started)
            assert (answer.status_code, answer.json()) == (401, LOGIN_FAILED)
    assert login(api, account_closed.username, "right").json() == LOGIN_FAILED
    medians = {name: sorted(series)[len(series) // 2] for name, series in taken.items()}
    # The password hash takes tens of milliseconds. Everything else takes one or two.
    assert max(medians.values()) < 1.5 * min(medians.values()), medians


LOGIN_FAILED = {"detail": "There is no active user with that name and password."}


def test_a_users_limit_applies_across_addresses(site: Site) -> None:
    # The shared site has no limits. This server has limits, and uses the site's database.
    limited = Stack(site.folder / "limited", site.env["DATABASE_URL"], site.env["REDIS_URL"])
    limited.folder.mkdir()
    token = site.login("cy")
    client = limited.start_web(TWIT_OPEN_API="off", TWIT_PROXIES="1")
    try:
        answers = [
            client.get(
                "/tweets?limit=1",
                headers={"Authorization": f"Token {token}", "X-Forwarded-For": f"192.0.2.{n}"},
            )
            for n in range(3)
        ]
        remaining = [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers]
        assert remaining == [899, 898, 897]
        posted = client.post(
            "/tweets", json={"message": "hi"}, headers={"Authorization": f"Token {token}"}
        )
        assert posted.headers["X-RateLimit-Limit"] == "300"
        anonymous = [
            client.get("/tweets?limit=1", headers={"X-Forwarded-For": f"192.0.2.{n}"})
            for n in (1, 1, 2)
        ]
        remaining = [int(answer.headers["X-RateLimit-Remaining"]) for answer in anonymous]
        assert remaining == [899, 898, 899]
    finally:
        limited.stop()
