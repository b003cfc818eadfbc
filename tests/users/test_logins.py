"""Logins by password: their limits, and how many are checked at once."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from django.db import OperationalError
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.site import Site
from tests.stack import Stack, wait_until
from tests.valkey import client
from users import logins
from users.models import User

LOGIN_FAILED = {"detail": "There is no active user with that name and password."}


@pytest.fixture
def limits(settings: Settings) -> None:
    settings.TWIT_LIMITS = {"posts": (3, 60), "requests": (5, 600), "logins": (4, 60)}


@pytest.fixture
def account(ben: User) -> User:
    ben.set_password("right")
    ben.save()
    return ben


def login(api: APIClient, username: str, password: str, address: str = "192.0.2.1") -> Any:
    credentials = {"username": username, "password": password}
    return api.post("/auth/login", credentials, format="json", REMOTE_ADDR=address)


def statuses(api: APIClient, username: str, password: str, *addresses: str) -> list[int]:
    return [login(api, username, password, address).status_code for address in addresses]


STRANGERS = [f"198.51.100.{n}" for n in range(9)]


@pytest.mark.django_db
def test_failed_logins_are_limited_by_address(api: APIClient, account: User, limits: None) -> None:
    answers = [login(api, f"user{n}", "wrong").status_code for n in range(5)]
    assert answers == [401] * 4 + [429]
    refused = login(api, "ben", "right")
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0


@pytest.mark.django_db
def test_failed_logins_are_limited_by_account(api: APIClient, account: User, limits: None) -> None:
    names = ["ben", " ben", "ben\n", "ben", "ben"]  # whitespace around names is stripped
    answers = [login(api, names[n], "wrong", f"192.0.2.{n}") for n in range(5)]
    assert [answer.status_code for answer in answers] == [401] * 4 + [429]
    refused = login(api, "ben", "right", "192.0.2.9")
    assert (refused.status_code, refused["X-RateLimit-Remaining"]) == (429, "0")
    assert 0 < int(refused["Retry-After"]) <= 60


@pytest.mark.django_db
def test_logins_that_are_refused_for_their_address_lock_no_account_and_make_no_keys(
    api: APIClient, account: User, limits: None
) -> None:
    assert statuses(api, "nobody", "wrong", *["192.0.2.1"] * 5) == [401] * 4 + [429]
    before = client().keys()
    assert [login(api, f"user{n}", "wrong").status_code for n in range(9)] == [429] * 9
    assert statuses(api, "ben", "wrong", *["192.0.2.1"] * 9) == [429] * 9
    assert sorted(client().keys()) == sorted(before)
    assert login(api, "ben", "right", "192.0.2.2").status_code == 200


@pytest.mark.django_db
def test_strangers_lock_nobody_out_of_an_address_that_has_signed_in_before(
    api: APIClient, account: User, limits: None
) -> None:
    assert login(api, "ben", "right", "192.0.2.1").status_code == 200
    assert statuses(api, "ben", "wrong", *STRANGERS) == [401] * 4 + [429] * 5
    assert login(api, "ben", "right", "192.0.2.1").status_code == 200
    assert login(api, "ben", "right", "192.0.2.2").status_code == 429


@pytest.mark.django_db
def test_an_address_that_has_signed_in_before_has_no_more_guesses_than_others(
    api: APIClient, account: User, limits: None
) -> None:
    assert login(api, "ben", "right", "192.0.2.1").status_code == 200
    assert statuses(api, "ben", "wrong", *["192.0.2.1"] * 5) == [401] * 4 + [429]


@pytest.mark.django_db
def test_an_address_that_has_signed_in_to_one_account_is_a_stranger_to_others(
    api: APIClient, account: User, limits: None
) -> None:
    User.objects.create_user("eva", password="right")
    assert login(api, "ben", "right", "192.0.2.1").status_code == 200
    assert statuses(api, "eva", "wrong", *STRANGERS[:4]) == [401] * 4
    assert login(api, "eva", "right", "192.0.2.1").status_code == 429


@pytest.mark.django_db
def test_a_form_without_a_password_does_not_make_its_address_known(
    api: APIClient, account: User, limits: None
) -> None:
    for password in ("", "wrong"):
        post_form(api, "/auth/session/login", "ben", password)
    assert statuses(api, "ben", "wrong", *STRANGERS[:4]) == [401] * 3 + [429]
    assert "Too many logins" in post_form(api, "/auth/session/login", "ben", "right")


@pytest.mark.django_db
def test_a_login_without_a_username_counts_against_no_account(
    api: APIClient, account: User, limits: None
) -> None:
    for _ in range(3):
        assert api.get("/auth/login", REMOTE_ADDR="192.0.2.1").status_code == 405
        nameless = api.post("/auth/login", {}, format="json", REMOTE_ADDR="192.0.2.1")
        assert nameless.status_code == 400
    # A request without a username counts against its address, but against no account.
    assert login(api, "None", "x", "192.0.2.2")["X-RateLimit-Remaining"] == "3"
    assert login(api, "ben", "right").status_code == 200


@pytest.mark.django_db
def test_successful_logins_are_limited_by_account_and_are_no_failures(
    api: APIClient, account: User, limits: None
) -> None:
    addresses = ["192.0.2.1"] * 3 + ["192.0.2.2"] * 9
    answers = [login(api, "ben", "right", address) for address in addresses]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 8
    assert 30 <= int(answers[-1]["Retry-After"]) <= 60
    User.objects.create_user("eva", password="right")
    assert login(api, "eva", "right", "192.0.2.2").status_code == 200
    client().delete(*client().keys("limit:logins:success:*"))
    assert statuses(api, "ben", "wrong", *STRANGERS[:5]) == [401] * 4 + [429]


@pytest.mark.django_db
def test_a_login_that_ends_after_its_window_adds_no_guess_to_the_next(
    api: APIClient, account: User, limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any, **credentials: Any) -> User:
        client().flushdb()  # the windows end
        return account

    with monkeypatch.context() as patch:
        patch.setattr(logins, "authenticate", slow)
        assert login(api, "ben", "right").status_code == 200
    answers = [login(api, f"user{n}", "wrong").status_code for n in range(5)]
    assert answers == [401] * 4 + [429]


@pytest.mark.django_db
def test_a_login_counts_for_nothing_if_the_database_fails(
    api: APIClient, account: User, limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **credentials: Any) -> None:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(logins, "authenticate", fails)
        assert statuses(api, "ben", "right", *["192.0.2.1"] * 9) == [503] * 9
    assert login(api, "ben", "right").status_code == 200


def post_form(api: APIClient, path: str, username: str, password: str) -> str:
    """Send a login form. Return the page, or where it leads."""
    form = urlencode({"username": username, "password": password})
    answer: Any = api.post(path, form, content_type="application/x-www-form-urlencoded")
    return str(answer.get("Location") or answer.content.decode())


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/auth/session/login"])
def test_logins_by_form_are_limited_too(
    api: APIClient, account: User, limits: None, path: str
) -> None:
    account.is_staff = True
    account.save()
    assert post_form(api, path, "ben", "right").startswith("/")
    for _ in range(4):
        assert "Too many" not in post_form(api, path, "ben", "wrong")
    assert "Too many logins: wait" in post_form(api, path, "ben", "right")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/auth/session/login"])
def test_logins_by_form_are_checked_in_line_too(
    api: APIClient, account: User, limits: None, path: str
) -> None:
    with logins.turn():
        assert "Too many logins at this moment" in post_form(api, path, "ben", "right")


@pytest.mark.django_db
def test_a_login_waits_for_one_other_and_then_gets_a_503_that_does_not_count(
    api: APIClient, account: User, limits: None
) -> None:
    started = time.monotonic()
    with logins.turn():
        answers = [login(api, "ben", "right") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [503] * 5
    assert (answers[0]["Retry-After"], list(answers[0].json())) == ("1", ["detail"])
    assert 4.9 < time.monotonic() - started < 20
    assert login(api, "ben", "right").status_code == 200


@pytest.mark.django_db
def test_a_login_gets_a_503_at_once_while_another_waits(
    api: APIClient, account: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "WAIT_SECONDS", 30)
    waits = threading.Event()

    def wait_in_line() -> None:
        waits.set()
        with logins.turn():
            pass

    with ThreadPoolExecutor() as pool, logins.turn():
        pool.submit(wait_in_line)
        assert waits.wait(10)
        wait_until(lambda: not logins._in_line._value)
        started = time.monotonic()
        assert login(api, "ben", "right").status_code == 503
        assert time.monotonic() - started < 10


@contextmanager
def server(site: Site, folder: Path, limit: str) -> Iterator[Stack]:
    """A server with a limit of logins, on the shared site's database."""
    running = Stack(folder, site.env["DATABASE_URL"], site.env["REDIS_URL"])
    running.start_web(TWIT_OPEN_API="off", TWIT_LIMIT_LOGINS=limit)
    try:
        yield running
    finally:
        running.stop()


def at_once(running: Stack, count: int, **credentials: str) -> list[Any]:
    """Send logins at the same time. Return the responses."""

    def send(_: int) -> httpx.Response:
        return web.post("/auth/login", json=credentials)

    web = running.client()
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))


def test_parallel_guesses_do_not_evade_the_limit(site: Site, tmp_path: Path) -> None:
    with server(site, tmp_path, "1/1h") as running:
        answers = at_once(running, 8, username="ben", password="wrong")
    assert sorted(answer.status_code for answer in answers) == [401] + [429] * 7


def peak_kb(process_id: int) -> int:
    """Return the most memory that the process's children have had resident."""
    command = ["pgrep", "-P", str(process_id)]
    children = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    texts = [Path(f"/proc/{child}/status").read_text() for child in children]
    return max(int(re.findall(r"VmHWM:\s+(\d+) kB", text)[0]) for text in texts)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_logins_at_once_take_the_memory_of_one(site: Site, tmp_path: Path) -> None:
    with server(site, tmp_path, "off") as running:
        web = running.children["web"].process.pid
        before = peak_kb(web)
        for _ in range(3):
            answers = at_once(running, 8, username="ben", password="password of ben")
            codes = {answer.status_code for answer in answers}
            assert 200 in codes
            assert codes <= {200, 503}
        assert peak_kb(web) - before < 170_000  # Argon2 takes 100 MiB


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["\ufb01ona", "fiona", " \ufb01ona\n"])  # the ligature fi
def test_a_name_may_be_written_in_any_way_that_unicode_calls_compatible(
    api: APIClient, name: str
) -> None:
    User.objects.create_user("fiona", password="right")
    assert login(api, name, "right").status_code == 200


@pytest.mark.django_db
def test_all_spellings_of_a_name_count_as_one_account(
    api: APIClient, account: User, limits: None
) -> None:
    spellings = ["ben", "\uff42en", "b\uff45n", "be\uff4e", " ben"]  # with full-width letters
    answers = [login(api, name, "wrong", f"192.0.2.{n}") for n, name in enumerate(spellings)]
    assert [answer.status_code for answer in answers] == [401] * 4 + [429]


@pytest.mark.django_db
@pytest.mark.usefixtures("costly_passwords")
def test_an_unknown_user_takes_as_long_as_a_wrong_password(
    api: APIClient, account: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = settings.TWIT_LIMITS | {"logins": None}
    User.objects.create_user("unusable")
    account_closed = User.objects.create_user("closed", password="right", is_active=False)
    taken: dict[str, list[float]] = {"ben": [], "nobody": [], "unusable": [], "closed": []}
    for _ in range(5):
        for name, series in taken.items():
            started = time.process_time()
            answer = login(api, name, "wrong")
            series.append(time.process_time() - started)
            assert (answer.status_code, answer.json()) == (401, LOGIN_FAILED)
    assert login(api, account_closed.username, "right").json() == LOGIN_FAILED
    medians = {name: sorted(series)[len(series) // 2] for name, series in taken.items()}
    # The password hash takes tens of milliseconds. Everything else takes one or two.
    assert max(medians.values()) < 1.5 * min(medians.values()), medians
