"""Who may open streams where tokens are required, how many, and what ends them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from knox.models import AuthToken
from pytest_django import Settings

from tests.site import Site
from tests.stack import Stack, wait_until
from tests.streamer import Streamer
from timelines.views import may_still_read
from users.grants import Grant, revoked
from users.models import User

APP = {"Origin": "https://app.example"}
BEN, ALYSSA = 1, 2
OF_USER, OF_ADDRESS = 2, 3


@pytest.fixture(scope="module")
def web(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server that allows few streams, and an app of another origin."""
    stack = Stack(tmp_path_factory.mktemp("web"), site.database_url, site.env["REDIS_URL"])
    stack.env |= {name: site.env[name] for name in site.env if name.startswith("TWIT_")}
    stack.start_web(
        TWIT_CORS_ORIGINS=APP["Origin"],
        TWIT_STREAMS_PER_USER=str(OF_USER),
        TWIT_STREAMS_PER_ADDRESS=str(OF_ADDRESS),
    )
    yield stack
    stack.stop()


Listen = Callable[..., Streamer]


@pytest.fixture
def listen(web: Stack) -> Iterator[Listen]:
    """listen(token, reader_id) opens a stream, which ends with the test."""
    opened: list[Streamer] = []

    def start(token: str, reader_id: int, *headers: str) -> Streamer:
        path = f"/tweets/followed/{reader_id}/stream"
        stream = Streamer(web.address, path, f"Authorization: Bearer {token}", *headers)
        wait_until(lambda: stream.open().status == 200)  # those of the last test may just end
        opened.append(stream)
        return stream

    yield start
    for each in opened:
        each.close()


def ask(web: Stack, token: str, reader_id: int = BEN, origin: str = "") -> httpx.Response:
    """Return the response to a request that is refused."""
    headers = {"Accept": "text/event-stream"} | ({"Origin": origin} if origin else {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    address = f"{web.address}/tweets/followed/{reader_id}/stream"
    return httpx.get(address, headers=headers, timeout=30)


def has_begun(stream: Streamer) -> bool:
    return stream.last_id != ""


# Who may


def test_a_token_is_needed(web: Stack, site: Site) -> None:
    for token in ("", "wrong", site.expired_token):
        answer = ask(web, token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert [*answer.json()] == ["detail"]


def test_only_the_reader_and_moderators_may_open_a_stream(
    web: Stack, site: Site, listen: Listen
) -> None:
    answer = ask(web, site.login("alyssa"))
    assert answer.status_code == 403
    assert "users.view_follow" in answer.json()["detail"]
    for name in ("ben", "moderator"):
        stream = listen(site.login(name), BEN)
        stream.read_until(partial(has_begun, stream))


def test_a_page_of_an_allowed_origin_can_read_streams_and_refusals(
    web: Stack, site: Site, listen: Listen
) -> None:
    stream = listen(site.login("ben"), BEN, f"Origin: {APP['Origin']}")
    assert stream.headers["access-control-allow-origin"] == APP["Origin"]
    assert (
        ask(web, "", origin=APP["Origin"]).headers["access-control-allow-origin"] == APP["Origin"]
    )
    asked = {"Access-Control-Request-Method": "GET"}
    asked |= {"Access-Control-Request-Headers": "authorization,last-event-id"}
    answer = httpx.options(f"{web.address}/tweets/followed/1/stream", headers=APP | asked)
    assert "last-event-id" in answer.headers["Access-Control-Allow-Headers"]


# How many


def test_a_user_may_have_a_few_streams(web: Stack, site: Site, listen: Listen) -> None:
    token = site.login("alyssa")
    streams = [listen(token, ALYSSA) for _ in range(OF_USER)]
    answer = ask(web, site.login("alyssa"), ALYSSA)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "5"
    assert answer.json() == {"detail": f"There are already {OF_USER} streams of user {ALYSSA}."}
    streams[0].close()
    listen(token, ALYSSA)


def test_a_moderators_streams_are_the_moderators(web: Stack, site: Site, listen: Listen) -> None:
    token = site.login("moderator")
    for reader_id in (BEN, ALYSSA):
        listen(token, reader_id)
    assert ask(web, token, 3).status_code == 429
    listen(site.login("ben"), BEN)


def test_an_address_may_have_some_streams(web: Stack, site: Site, listen: Listen) -> None:
    for name, reader_id in (("ben", BEN), ("ben", BEN), ("alyssa", ALYSSA)):
        listen(site.login(name), reader_id)
    answer = ask(web, site.login("alyssa"), ALYSSA)
    assert answer.status_code == 429
    assert answer.json() == {
        "detail": f"There are already {OF_ADDRESS} streams from the address 127.0.0.1."
    }


# What ends them


def test_a_logout_ends_the_tokens_streams_and_no_others(
    web: Stack, site: Site, listen: Listen
) -> None:
    token, other = site.login("ben"), site.login("ben")
    ends, stays = listen(token, BEN), listen(other, BEN)
    for stream in (ends, stays):
        stream.read_until(partial(has_begun, stream))
    site.client(token).post("/auth/logout").raise_for_status()
    print(f"a revoked token's stream ends after {ends.read_until_over():.1f} s")
    stays.read(0.5)
    assert not stays.is_over
    assert ends.open().status == 401


# How that is checked, without a server


@pytest.fixture
def token_mode(settings: Settings) -> Settings:
    settings.TWIT_OPEN_API = False
    return settings


@pytest.mark.django_db
def test_a_token_grants_until_it_is_revoked_or_its_user_inactive(
    token_mode: Settings, ben: User, alyssa: User
) -> None:
    token, _ = AuthToken.objects.create(ben)
    grant = Grant(digest=token.digest)
    assert may_still_read(grant, ben.pk)
    assert not may_still_read(grant, alyssa.pk)
    User.objects.update(is_active=False)
    assert not may_still_read(grant, ben.pk)
    User.objects.update(is_active=True)
    token.delete()
    assert not may_still_read(grant, ben.pk)


@pytest.mark.django_db
def test_a_permission_grants_until_it_is_taken_away(
    token_mode: Settings, ben: User, alyssa: User
) -> None:
    alyssa.user_permissions.set(Permission.objects.filter(codename="view_follow"))
    grant = Grant(digest=AuthToken.objects.create(alyssa)[0].digest)
    assert may_still_read(grant, ben.pk)
    alyssa.user_permissions.clear()
    assert not may_still_read(grant, ben.pk)


@pytest.mark.django_db
def test_a_session_grants_until_it_ends(token_mode: Settings, ben: User, client: Client) -> None:
    client.force_login(ben)
    grant = Grant(session_key=client.session.session_key or "")
    assert may_still_read(grant, ben.pk)
    User.objects.update(is_active=False)
    assert not may_still_read(grant, ben.pk)
    User.objects.update(is_active=True)
    client.logout()
    assert not may_still_read(grant, ben.pk)


@pytest.mark.django_db
def test_a_session_ends_with_the_password(token_mode: Settings, ben: User, client: Client) -> None:
    client.force_login(ben)
    grant = Grant(session_key=client.session.session_key or "")
    ben.set_password("new")
    ben.save()
    assert not may_still_read(grant, ben.pk)


@pytest.mark.django_db
def test_nothing_grants_nothing_unless_the_api_is_open(settings: Settings, ben: User) -> None:
    assert may_still_read(Grant(), ben.pk)
    settings.TWIT_OPEN_API = False
    assert not may_still_read(Grant(), ben.pk)


@pytest.mark.django_db
def test_those_tokens_are_revoked_that_are_not_of_an_active_user(ben: User, eva: User) -> None:
    made = [AuthToken.objects.create(user)[0] for user in (ben, ben, ben, eva)]
    good, deleted, expired, inactive = (token.digest for token in made)
    made[1].delete()
    AuthToken.objects.filter(digest=expired).update(expiry=made[2].created - timedelta(seconds=1))
    User.objects.filter(pk=eva.pk).update(is_active=False)
    assert revoked({good, deleted, expired, inactive, "", "0"}) == {deleted, expired, inactive, "0"}
    assert revoked({""}) == set()
