"""Rate limits."""

import re
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db.models.functions import Now
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from backends.servers import server
from tests.site import Site
from tests.stack import CHECKOUT, Stack, wait_until
from tests.valkey import client
from users.models import User
from users.tokens import issue


@pytest.fixture
def limits(settings: Settings) -> dict[str, Any]:
    settings.TWIT_LIMITS = {"posts": (3, 600), "requests": (5, 600), "logins": (4, 600)}
    return dict(settings.TWIT_LIMITS)


def bearer(user: User) -> dict[str, str]:
    """Return the headers of a request with a new token."""
    return {"authorization": f"Bearer {issue(user, timedelta(days=1))[1]}"}


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
    assert 570 <= int(refused["Retry-After"]) <= 600
    assert abs(int(refused["X-RateLimit-Reset"]) - time.time() - 600) < 30
    assert list(refused.json()) == ["detail"]
    assert api.get("/tweets").status_code == 200
    assert ben.tweets.count() == 3


@pytest.mark.django_db
def test_the_headers_of_the_draft_tell_the_policy_and_what_is_left(
    api: APIClient, ben: User, limits: dict[str, Any]
) -> None:
    answers = [post(api, ben) for _ in range(4)]
    assert {answer["RateLimit-Policy"] for answer in answers} == {'"posts";q=3;w=600'}
    left = [
        re.fullmatch(r'"posts";r=(\d);t=(5[789]\d|600)', answer["RateLimit"]) for answer in answers
    ]
    assert [found and found[1] for found in left] == ["2", "1", "0", "0"]
    assert api.get("/tweets")["RateLimit-Policy"] == '"requests";q=5;w=600'


@pytest.mark.django_db
def test_a_304_has_the_rate_limit_headers(api: APIClient, limits: dict[str, Any]) -> None:
    known = {"if-none-match": api.get("/tweets")["ETag"]}
    again = api.get("/tweets", headers=known)
    assert (again.status_code, again["X-RateLimit-Remaining"]) == (304, "3")
    assert (again["RateLimit-Policy"], again["RateLimit"][:14]) == (
        '"requests";q=5;w=600',
        '"requests";r=3',
    )


@pytest.mark.django_db
def test_posts_succeed_again_when_the_window_ends(
    api: APIClient, ben: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = {"posts": (1, 3), "requests": None, "logins": None}
    assert post(api, ben).status_code == 201
    refused = post(api, ben)
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 3
    # Those that are refused don't make the window longer.
    wait_until(lambda: post(api, ben).status_code == 201, pause_seconds=0.1)


@pytest.mark.django_db
def test_anonymous_clients_are_counted_by_address(api: APIClient, limits: dict[str, Any]) -> None:
    def statuses(**extra: str) -> list[int]:
        return [api.get("/tweets", **extra).status_code for _ in range(6)]  # type: ignore[arg-type]

    assert statuses(REMOTE_ADDR="192.0.2.1") == [200] * 5 + [429]
    assert statuses(REMOTE_ADDR="192.0.2.2") == [200] * 5 + [429]
    # A forged X-Forwarded-For header doesn't evade the limit.
    forged = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "192.0.2.3"}
    assert statuses(**forged) == [429] * 6


def remaining(api: APIClient, address: str, **extra: Any) -> int:
    answer = api.get("/tweets", REMOTE_ADDR=address, **extra)
    return int(answer["X-RateLimit-Remaining"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "spellings",
    [
        ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201"],
        ["2001:db8::1", "2001:DB8:0:0::1", "2001:0db8::ffff:0:0:1", "2001:db8::192.0.2.1"],
        ["fe80::1%eth0", "fe80::2"],
        ["", "nonsense", "192.0.2", "192.0.2.1:4711", "3"],
    ],
)
def test_an_address_has_one_counter_and_so_has_a_network_of_ipv6(
    api: APIClient, limits: dict[str, Any], spellings: list[str]
) -> None:
    found = [remaining(api, spelling) for spelling in spellings]
    assert found == list(range(4, 4 - len(spellings), -1))
    assert remaining(api, "2001:db8:0:1::1") == 4


@pytest.mark.django_db
def test_an_address_that_looks_like_a_users_id_does_not_count_against_that_user(
    api: APIClient, ben: User, limits: dict[str, Any], settings: Settings
) -> None:
    settings.TWIT_OPEN_API = False
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    for _ in range(6):
        api.get("/tweets", headers={"x-forwarded-for": str(ben.pk)})
    assert api.get("/tweets", headers=bearer(ben)).status_code == 200


@pytest.mark.django_db
def test_invalid_tokens_are_refused_beyond_the_limit_without_asking_postgres(
    api: APIClient, limits: dict[str, Any], settings: Settings, statements: Callable[[], int]
) -> None:
    settings.TWIT_OPEN_API = False
    invalid = ["0" * 64, "1" * 64, "no token", "", "2" * 64, "3" * 64, "", "no token"]
    answers = [api.get("/tweets", headers={"authorization": f"Bearer {t}"}) for t in invalid]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
    statements()
    refused = api.post("/tweets", headers={"authorization": "Bearer " + "4" * 64})
    assert (refused.status_code, statements()) == (429, 0)
    assert 595 < int(refused["Retry-After"]) <= 600
    assert refused["X-RateLimit-Remaining"] == "0"
    assert list(refused.json()) == ["detail"]
    elsewhere = {"authorization": "Bearer " + "4" * 64}
    assert api.get("/tweets", headers=elsewhere, REMOTE_ADDR="192.0.2.1").status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["expired", "revoked", "inactive"])
def test_tokens_that_were_valid_once_count_too(
    api: APIClient,
    ben: User,
    limits: dict[str, Any],
    settings: Settings,
    statements: Callable[[], int],
    token: str,
) -> None:
    settings.TWIT_OPEN_API = False
    headers = bearer(ben)
    assert api.get("/tweets", headers=headers).status_code == 200
    if token == "expired":
        AuthToken.objects.update(expiry=Now() - timedelta(days=1))
    elif token == "revoked":
        AuthToken.objects.all().delete()
    else:
        User.objects.update(is_active=False)
    statements()
    answers = [api.get("/tweets", headers=headers).status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2
    assert statements() == 5


@pytest.mark.django_db
def test_invalid_tokens_lock_nobody_else_at_the_address_out(
    api: APIClient, ben: User, limits: dict[str, Any], settings: Settings
) -> None:
    settings.TWIT_OPEN_API = False
    headers = bearer(ben)
    assert api.get("/tweets", headers=headers).status_code == 200
    for _ in range(6):
        refused = api.get("/tweets", headers={"authorization": "Bearer invalid"})
    assert refused.status_code == 429
    assert api.get("/tweets", headers=headers).status_code == 200


@pytest.mark.django_db
def test_invalid_tokens_are_accepted_for_checking_again_when_the_window_ends(
    api: APIClient, settings: Settings
) -> None:
    settings.TWIT_OPEN_API = False
    settings.TWIT_LIMITS = {"requests": (1, 1)}
    invalid = {"authorization": "Bearer invalid"}
    assert [api.get("/tweets", headers=invalid).status_code for _ in range(2)] == [401, 429]
    time.sleep(1.1)
    assert api.get("/tweets", headers=invalid).status_code == 401


@pytest.mark.django_db
def test_a_request_with_a_valid_token_takes_one_round_trip_to_redis(
    api: APIClient,
    ben: User,
    limits: dict[str, Any],
    settings: Settings,
    redis_round_trips: Callable[[], int],
) -> None:
    settings.TWIT_OPEN_API = False
    for _ in range(6):
        api.get("/tweets", headers={"authorization": "Bearer invalid"})
    headers = bearer(ben) | {"x-forwarded-for": "192.0.2.1"}
    redis_round_trips()
    assert api.get("/tweets", headers=headers, REMOTE_ADDR="192.0.2.1").status_code == 200
    assert redis_round_trips() == 1


@pytest.mark.parametrize(("proxies", "is_right"), [("0", True), ("1", False)])
def test_the_documented_check_of_twit_proxies_tells_a_wrong_number(
    site: Site, tmp_path: Path, proxies: str, is_right: bool
) -> None:
    """There is no proxy here. With one too many, clients could choose their addresses."""
    text = (CHECKOUT / "docs/operations.md").read_text()
    [check] = re.findall(r"```sh\n(for n in .*?)```", text, re.DOTALL)
    *requests, listing = check.strip().splitlines()
    assert "--scan --pattern 'limit:requests:address:*'" in listing
    running = Stack(tmp_path, site.env["DATABASE_URL"], site.env["REDIS_URL"])
    try:
        running.start_web(TWIT_OPEN_API="off", TWIT_PROXIES=proxies)
        client().flushdb()
        script = "\n".join(requests).replace("https://twit.example", running.address)
        sent = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    finally:
        running.stop()
    left = [int(line.split()[1]) for line in sent.stdout.splitlines()]
    assert left == ([899, 898, 897] if is_right else [899, 899, 899])
    counted = client().keys("limit:requests:address:*")
    listed = ["127.0.0.1"] if is_right else [f"198.51.100.{n}" for n in (1, 2, 3)]
    assert set(counted) == {f"limit:requests:address:{address}".encode() for address in listed}


@pytest.mark.django_db
def test_without_redis_nothing_is_limited(
    api: APIClient, ben: User, limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server("REDIS_URL").breaker, "lets_through", lambda: False)
    answers = [post(api, ben) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert "X-RateLimit-Limit" not in answers[0]


@pytest.mark.django_db
def test_limits_and_logins_are_counted_by_the_server_of_limits_url(
    api: APIClient, ben: User, limits: dict[str, Any], settings: Settings
) -> None:
    settings.LIMITS_URL = f"{settings.REDIS_URL.rpartition('/')[0]}/500"
    other = redis.Redis.from_url(settings.LIMITS_URL, decode_responses=True)
    other.flushdb()
    client().flushdb()
    post(api, ben)
    api.post("/auth/login", {"username": "ben", "password": "wrong"})
    kinds = {str(key).split(":")[1] for key in other.keys("limit:*")}
    assert kinds == {"posts", "logins"}
    assert not client().keys("limit:*")


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
                headers={"Authorization": f"Bearer {token}", "X-Forwarded-For": f"192.0.2.{n}"},
            )
            for n in range(3)
        ]
        remaining = [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers]
        assert remaining == [899, 898, 897]
        posted = client.post(
            "/tweets", json={"message": "hi"}, headers={"Authorization": f"Bearer {token}"}
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
