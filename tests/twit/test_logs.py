"""The log of real processes: ids of requests, the access log, and what may be asked about later."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.logs import MOST_CHARS
from tests.raw import Raw
from tests.site import Site
from tests.stack import Stack, wait_until
from users.models import User

OWN_ID = "[0-9a-f]{16}"
EVENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+[^:]*: ")


@pytest.fixture(scope="module")
def direct(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server without a proxy, whose log is text."""
    yield from logging_server(site, tmp_path_factory, {"TWIT_STREAMS_PER_USER": "1"})


@pytest.fixture(scope="module")
def proxied(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server behind a proxy, whose log is JSON."""
    env = {"TWIT_PROXIES": "1", "TWIT_LOG_FORMAT": "json"}
    yield from logging_server(site, tmp_path_factory, env)


def logging_server(
    site: Site, folders: pytest.TempPathFactory, env: dict[str, str]
) -> Iterator[Stack]:
    running = Stack(folders.mktemp("logs"), site.database_url, site.env["REDIS_URL"])
    running.env |= site.env | env
    running.start_web(access_log=True, probe="/livez")
    yield running
    running.stop()


def get(server: Stack, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{server.address}{path}", headers=headers, trust_env=False, timeout=30)


def about(server: Stack, response: httpx.Response) -> list[str]:
    """Return the messages of all lines about the request, once it was logged."""
    name = f"request={response.headers['X-Request-ID']}"
    wait_until(lambda: re.search(rf"twit.requests {name}\b", server.log("web")))
    return [line for line in server.log("web").splitlines() if name in line]


def parsed(server: Stack, request_id: str) -> dict[str, Any]:
    """Return the line of the request in the access log."""

    def logged() -> list[dict[str, Any]]:
        complete, _, _ = server.log("web").rpartition("\n")
        return [
            line
            for line in map(json.loads, complete.splitlines())
            if line.get("request_id") == request_id and line["logger"] == "twit.requests"
        ]

    wait_until(logged)
    [found] = logged()
    return found


def test_a_path_can_not_forge_a_line(direct: Stack) -> None:
    forged = "2026-01-01 00:00:00,000 INFO twit: forged"
    response = get(direct, "/nowhere%0d%0a" + forged.replace(" ", "%20"))
    lines = about(direct, response)
    assert any(r"Not Found: /nowhere\r\n2026-01-01 00:00:00,000" in line for line in lines)
    assert '"GET /nowhere%0d%0a2026-01-01%2000:00:00,000' in lines[-1]
    assert all(map(EVENT.match, direct.log("web").splitlines()))
    assert "\n2026-01-01" not in direct.log("web")


def test_a_long_path_is_logged_in_part(proxied: Stack) -> None:
    get(proxied, f"/{'x' * 50_000}", **{"X-Request-ID": "long"})
    assert len(parsed(proxied, "long")["path"]) == MOST_CHARS


@pytest.mark.parametrize(
    "path", ["/tweets", "/tweets/999999", "/me", "/static/rest_framework/css/default.css", "/livez"]
)
def test_every_response_has_an_id(direct: Stack, path: str) -> None:
    ids = [get(direct, path).headers.get_list("X-Request-ID") for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(re.fullmatch(OWN_ID, found) for [found] in ids)


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n", b"?\r\n\r\n"],
)
def test_requests_that_the_event_loop_refuses_have_an_id_too(
    direct: Stack, request_: bytes
) -> None:
    with Raw(direct.address) as connection:
        reply = connection.send(request_).reply()
    assert reply.status in (400, 413)
    assert re.fullmatch(OWN_ID, reply.headers["x-request-id"])


def test_without_a_proxy_a_client_does_not_choose_its_id(direct: Stack) -> None:
    assert get(direct, "/", **{"X-Request-ID": "chosen"}).headers["X-Request-ID"] != "chosen"


def test_a_proxy_chooses_the_id(proxied: Stack) -> None:
    response = get(proxied, "/", **{"X-Request-ID": "Chosen_by.proxy-1"})
    assert response.headers["X-Request-ID"] == "Chosen_by.proxy-1"


@pytest.mark.parametrize("given", [b"", b"a b", b"a\tb", b"\xe9", b"x" * 65, b'a"b', b"a,b"])
def test_an_id_of_another_form_is_not_taken(proxied: Stack, given: bytes) -> None:
    with Raw(proxied.address) as connection:
        head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: %s\r\n\r\n" % given
        reply = connection.send(head).reply()
    assert re.fullmatch(OWN_ID, reply.headers["x-request-id"])


def test_the_access_log_names_request_user_address_size_and_duration(
    proxied: Stack, site: Site
) -> None:
    token = {"Authorization": f"Bearer {site.login('ben')}"}
    forwarded = {"X-Request-ID": "access", "X-Forwarded-For": "1.2.3.4, 192.0.2.7"}
    response = get(proxied, '/tweets?limit=1&a="', **token, **forwarded)
    line = parsed(proxied, "access")
    assert line["path"] == "/tweets?limit=1&a=%22"
    assert (line["method"], line["status"], line["user_id"]) == ("GET", 200, 1)
    assert (line["address"], line["level"]) == ("192.0.2.7", "INFO")
    assert 0 < line["bytes"] <= len(response.content)  # it is compressed
    assert 0 < line["seconds"] < 10


def test_a_session_names_its_user(direct: Stack) -> None:
    with httpx.Client(base_url=direct.address, trust_env=False, timeout=30) as browser:
        form = browser.get("/admin/login/").cookies
        credentials = {"username": "staff", "password": "password of staff"}
        body = credentials | {"csrfmiddlewaretoken": form["csrftoken"], "next": "/admin/"}
        assert " user=6: " in about(direct, browser.post("/admin/login/", data=body))[-1]
        assert " user=6: " in about(direct, browser.get("/admin/"))[-1]


def test_probes_leave_no_line_in_the_access_log(direct: Stack) -> None:
    get(direct, "/livez")
    about(direct, get(direct, "/"))
    assert "/livez" not in direct.log("web")


def test_a_stream_leaves_a_line_when_it_opens_and_one_when_it_ends(
    direct: Stack, site: Site
) -> None:
    token = {"Authorization": f"Bearer {site.login('ben')}"}
    address = f"{direct.address}/tweets/followed/1/stream"
    with httpx.stream("GET", address, headers=token, trust_env=False, timeout=30) as stream:
        opening, *others = about(direct, stream)
        assert re.search(r' user=1: 127.0.0.1 "GET \S+/stream" 200, .* stream opens$', opening)
        assert not others
        refused = get(direct, "/tweets/followed/1/stream", **token)
        said = about(direct, refused)
        assert "A stream was refused: this process has 1 already of user 1" in said[0]
        time.sleep(0.2)
    wait_until(lambda: len(about(direct, stream)) == 2)
    [seconds] = re.findall(r"bytes, ([\d.]+) s, stream ends$", about(direct, stream)[1])
    assert float(seconds) > 0.2


def test_a_failed_login_leaves_a_line_without_the_password(direct: Stack) -> None:
    credentials = {"username": "be\rn", "password": "wrong-one"}
    response = httpx.post(
        f"{direct.address}/auth/login", json=credentials, trust_env=False, timeout=30
    )
    assert response.status_code == 401
    said = " ".join(about(direct, response))
    assert r"WARNING twit.access" in said
    assert r"Failed login as 'be\rn' from 127.0.0.1" in said
    assert "wrong-one" not in direct.log("web")


def test_tokens_leave_a_line_when_they_are_created_and_revoked(direct: Stack) -> None:
    def post(path: str, **more: Any) -> httpx.Response:
        return httpx.post(f"{direct.address}{path}", trust_env=False, **more, timeout=30)

    credentials = {"username": "eva", "password": "password of eva"}
    for path, how in (("logout", "signed out"), ("logoutall", "signed out everywhere")):
        created = post("/auth/login", json=credentials)
        token = created.json()["token"]
        key = f"Token {token[:15]} of user 4 was"
        assert f" user=4: {key} created, until " in about(direct, created)[0]
        ended = post(f"/auth/{path}", headers={"Authorization": f"Bearer {token}"})
        assert f" user=4: {key} revoked: {how}" in " ".join(about(direct, ended))
        assert token not in direct.log("web")


def test_every_line_is_json_and_names_its_request(proxied: Stack) -> None:
    get(proxied, "/nowhere%0a", **{"X-Request-ID": "lost"})
    parsed(proxied, "lost")
    lines = [json.loads(line) for line in proxied.log("web").splitlines()]
    [missing] = [line for line in lines if line["message"] == r"Not Found: /nowhere\n"]
    assert (missing["level"], missing["logger"]) == ("WARNING", "django.request")
    assert missing["request_id"] == "lost"
    assert missing["time"].startswith("20")


def test_the_id_of_a_request_reaches_the_log_of_the_task_that_it_causes(
    stack: Stack, ben: User
) -> None:
    web = stack.start_web(TWIT_PROXIES="1")
    stack.start_worker("one", env={"TWIT_LOG_LEVEL": "DEBUG", "TWIT_LOG_FORMAT": "json"})
    tweet = {"userId": ben.pk, "message": "hello"}
    posted = web.post("/tweets", json=tweet, headers={"X-Request-ID": "the-cause"})
    assert posted.status_code == 201
    wait_until(lambda: "succeeded in" in stack.log("one"))
    lines = [json.loads(line) for line in stack.log("one").splitlines() if line[:1] == "{"]
    done = [line for line in lines if line.get("request_id") == "the-cause"][-1]
    assert re.fullmatch(r"Task timelines.fan_out\[\S+\] succeeded in .*", done["message"])
