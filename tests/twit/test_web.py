"""The web server over real connections: overload, slow and odd clients, starting and stopping."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
import psycopg
import pytest

from tests.raw import Raw
from tests.site import Site
from tests.stack import CHECKOUT, Stack, wait_until
from tweets.models import Tweet
from twit.local.net import free_port
from twit.web.connection import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_PIPELINED
from twit.web.messages import Refused
from twit.web.shell import MAX_WAITING, THREADS, WAIT_SECONDS, Shell
from users.models import User

# A server that loses patience soon.
HASTY = """
from twit.web import server as web
web.KEEP_ALIVE_SECONDS, web.UNREAD_SECONDS = 1, 1
web.main()
"""


@contextmanager
def locked_tweets(stack: Stack) -> Iterator[None]:
    """Keep requests for tweets waiting."""
    with psycopg.connect(stack.env["DATABASE_URL"]) as holder:
        holder.execute("LOCK TABLE tweets_tweet")
        yield


def wait_until_threads_are_busy(stack: Stack, threads: int = THREADS) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with psycopg.connect(stack.env["DATABASE_URL"], autocommit=True) as watcher:
        wait_until(lambda: watcher.execute(waiting).fetchone() == (threads,))


def wait_until_read(stack: Stack) -> None:
    """Return once the server has read what was sent to it: it reads in order."""
    with Raw(stack.address) as later:
        assert later.get("/livez").reply().status == 200


def test_beyond_a_hundred_waiting_requests_clients_get_a_503(stack: Stack) -> None:
    stack.start_web()
    with ExitStack() as open_:
        clients = [open_.enter_context(Raw(stack.address)) for _ in range(THREADS + MAX_WAITING)]
        with locked_tweets(stack), Raw(stack.address) as late:
            for client in clients:
                client.get("/tweets")
            wait_until_threads_are_busy(stack)
            wait_until_read(stack)
            refused = late.get("/tweets").reply()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert refused.body == {"detail": "The server is overloaded."}
        assert {client.reply().status for client in clients} == {200}


@pytest.mark.parametrize("leave", [Raw.close, Raw.reset])
def test_the_request_of_a_client_that_left_while_it_waited_is_dropped(
    stack: Stack, ben: User, leave: Callable[[Raw], None]
) -> None:
    stack.start_web()
    body = f'{{"userId": "{ben.pk}", "message": "%s"}}'
    with ExitStack() as open_:
        clients = [open_.enter_context(Raw(stack.address)) for _ in range(THREADS + 2)]
        *busy, leaves, stays = clients
        with locked_tweets(stack):
            for client in busy:
                client.get("/tweets")
            wait_until_threads_are_busy(stack)
            leaves.post("/tweets", (body % "left").encode())
            stays.post("/tweets", (body % "stayed").encode())
            wait_until_read(stack)
            leave(leaves)
            wait_until_read(stack)
        assert stays.reply().status == 201
    assert [tweet.message for tweet in Tweet.objects.all()] == ["stayed"]


def test_forwarded_headers_are_not_believed(stack: Stack) -> None:
    """The address of the connection is what counts against a limit."""
    web = stack.start_web(TWIT_OPEN_API="off", TWIT_LIMIT_REQUESTS="900/1h")
    before = int(web.get("/tweets").headers["X-RateLimit-Remaining"])
    for forged in ("X-Forwarded-For", "X_Forwarded_For", "Forwarded", "X-Real-IP", "Remote-Addr"):
        web.get("/tweets", headers={forged: "192.0.2.1"})
    assert int(web.get("/tweets").headers["X-RateLimit-Remaining"]) == before - 6


def test_headers_with_underscores_are_dropped(site: Site) -> None:
    with Raw(site.address) as connection:
        assert connection.get("/tweets?limit=1", "If_None_Match: *").reply().status == 200
        assert connection.get("/tweets?limit=1", "If-None-Match: *").reply().status == 304
        refused = connection.get("/tweets/followed/1", f"AUTHORIZATION_: {site.login('ben')}")
        assert refused.reply().status == 401


def test_cookies_may_come_in_several_headers(site: Site) -> None:
    browser = site.client()
    browser.get("/auth/session/login")
    csrf = browser.cookies["csrftoken"]
    fields = f"username=ben&password=password+of+ben&csrfmiddlewaretoken={csrf}"
    with Raw(site.address) as connection:
        signed_in = connection.post(
            "/auth/session/login",
            fields.encode(),
            *("Cookie: theme=dark", f"Cookie: csrftoken={csrf}"),
            kind="application/x-www-form-urlencoded",
        )
        assert signed_in.reply().status == 302


@pytest.mark.parametrize(
    ("target", "detail"),
    [
        ("/n%C3%A9%20x", "There is nothing at /né x."),
        ("/%E4%B8%AD", "There is nothing at /中."),
        ("/a%2Fb%00%FF", "There is nothing at /a/b\0%FF."),
        ("//tweets", "There is nothing at //tweets."),
        ("http://localhost/nothing", "There is nothing at /nothing."),
        ("*", "There is nothing at /*."),
    ],
)
def test_a_path_reaches_django_as_it_was_sent(site: Site, target: str, detail: str) -> None:
    with Raw(site.address) as connection:
        reply = connection.get(target).reply()
    assert (reply.status, reply.body) == (404, {"detail": detail})


@pytest.mark.parametrize(
    "request_",
    [
        "hello\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /tweets HTTP/1.1\r\n\r\n",
        "GET /tweets HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /tweets HTTP/1.1\r\nHost: localhost\r\n folded: 1\r\n\r\n",
        "GET /é HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_an_invalid_request_gets_a_400_in_json(site: Site, request_: str) -> None:
    with Raw(site.address) as connection:
        reply = connection.send(request_.encode()).reply()
    assert (reply.status, list(reply.body)) == (400, ["detail"])
    assert "content-length" in reply.headers  # clients of HTTP/1.0 know no chunks


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_upgrade_is_ignored_and_the_body_is_read(site: Site, protocol: str) -> None:
    """Java's HttpClient asks for HTTP/2 in this way."""
    token = f"Authorization: Bearer {site.login('ben')}"
    ask = (f"Upgrade: {protocol}", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAA")
    with Raw(site.address) as connection:
        for _ in range(2):
            posted = connection.post("/tweets", b'{"message": "upgrade"}', token, *ask).reply()
            assert (posted.status, posted.body["message"]) == (201, "upgrade")
        # In one packet, as many as a connection may hold.
        connection.send(
            b"GET /tweets?limit=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: h2c\r\n\r\n" * 500
        )
        assert {connection.reply().status for _ in range(500)} == {200}


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    with Raw(site.address) as connection:
        for path in ("/tweets", "/tweets/999999999", "/"):
            connection.get(path)
        assert [connection.reply().status for _ in range(3)] == [200, 404, 200]


def test_a_flood_of_pipelined_requests_ends_the_connection(site: Site) -> None:
    with Raw(site.address) as connection:
        connection.send(
            b"GET /tweets?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3 * MAX_PIPELINED
        )
        statuses: list[int] = []
        with pytest.raises(OSError):  # the server has closed the connection
            while True:
                statuses.append(connection.reply().status)
    assert len(statuses) < MAX_PIPELINED


def serve_all(paths: Sequence[str], waiting: str) -> list[tuple[str, int]]:
    """Serve requests for the paths at once, of which those for `waiting` take half the limit.

    Return paths and status codes in the order of the responses.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == waiting:
            time.sleep(WAIT_SECONDS / 2)
        start_response("200 OK", [])
        return [b""]

    shell, statuses = Shell(application), list[tuple[str, int]]()

    async def serve(path: str) -> None:
        async def receive() -> Any:
            raise AssertionError

        async def send(message: Any) -> None:
            if "status" in message:
                statuses.append((path, message["status"]))

        try:
            await shell(a_scope(path), receive, send)
        except Refused as refused:
            statuses.append((path, refused.response.status))

    async def serve_each() -> None:
        await asyncio.gather(*map(serve, paths))

    asyncio.run(serve_each())
    return statuses


def test_a_request_that_waits_too_long_for_a_thread_gets_a_503() -> None:
    statuses = [status for _, status in serve_all(["/"] * 5 * THREADS, waiting="/")]
    assert THREADS <= statuses.count(200) <= 4 * THREADS
    assert statuses.count(503) == 5 * THREADS - statuses.count(200)


def test_many_probes_at_once_hold_up_nothing_else() -> None:
    """The readiness probe waits for Postgres, if that is frozen."""
    many = ["/readyz"] * 2 * MAX_WAITING
    statuses = serve_all([*many, "/livez", "/"], waiting="/readyz")
    others = many[: -MAX_WAITING - 1]
    assert statuses[: len(others)] == [(path, 503) for path in others]  # too many wait
    assert {*statuses[len(others) :][:2]} == {("/livez", 200), ("/", 200)}
    late = statuses[len(others) + 2 :]
    assert late[0] == ("/readyz", 200)
    assert late[-1] == ("/readyz", 503)


def a_scope(path: str) -> Any:
    """Return the scope of a GET."""
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": None,
        "client": None,
        "headers": [],
        "state": {},
    }


def test_responses_do_not_name_the_server(site: Site) -> None:
    with Raw(site.address) as connection:
        assert "server" not in connection.get("/tweets").reply().headers
        refused = connection.send(b"\0\r\n\r\n").reply()
    assert "server" not in refused.headers
    assert "date" in refused.headers


def test_headers_that_are_too_long_get_a_431(site: Site) -> None:
    for start in (b"GET /", b"GET /tweets HTTP/1.1\r\nX-Long: "):
        with Raw(site.address) as connection:
            connection.send(start)
            started = time.monotonic()
            with pytest.raises(ConnectionError):  # the server has closed the connection
                while time.monotonic() - started < 30:
                    connection.send(b"x" * 10_000)
                    time.sleep(0.02)
    with Raw(site.address) as connection:
        connection.send(b"GET /").send(b"x" * MAX_HEAD_BYTES)
        assert connection.reply().status == 431


def test_slow_headers_end_the_connection(site: Site) -> None:
    with Raw(site.address) as connection:
        assert connection.get("/tweets?limit=1").reply().status == 200
        started = time.monotonic()
        connection.send(b"GET /tweets HTTP/1.1\r\nX-Slow: ")
        with pytest.raises(OSError):
            while time.monotonic() - started < HEAD_SECONDS + 20:
                connection.send(b"x")
                time.sleep(0.2)
        assert time.monotonic() - started > HEAD_SECONDS - 1


@pytest.fixture
def hasty(site: Site) -> Iterator[str]:
    """The address of a server that gives up on silent clients after a second."""
    port = free_port()
    command = [sys.executable, "-c", HASTY, "--port", str(port)]
    with subprocess.Popen(command, cwd=CHECKOUT, env=site.env) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: responds(address))
            yield address
        finally:
            server.terminate()


def responds(address: str) -> bool:
    try:
        return httpx.get(f"{address}/tweets", trust_env=False, timeout=30).is_success
    except httpx.TransportError:
        return False


def test_a_silent_connection_is_closed(hasty: str) -> None:
    with Raw(hasty) as silent:
        assert silent.is_closed()
    with Raw(hasty) as idle:
        assert idle.get("/tweets?limit=1").reply().status == 200
        assert idle.is_closed()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has it")
def test_a_client_that_does_not_read_is_cut_off(hasty: str) -> None:
    with Raw(hasty) as connection:
        for _ in range(8):  # 11 MB, more than the kernel takes
            connection.get("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js")
        time.sleep(5)
        with pytest.raises(OSError):
            for _ in range(100):
                connection.send(b"x")
                time.sleep(0.05)


def workers(stack: Stack) -> list[int]:
    """Return the ids of the processes that serve requests."""
    group = os.getpgid(stack.children["web"].process.pid)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                line = (process / "cmdline").read_text()
                found += [int(process.name)] * ("spawn_main" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_is_replaced(stack: Stack, number: signal.Signals) -> None:
    stack.start_web(processes=2)
    first, other = workers(stack)
    os.kill(first, number)
    wait_until(lambda: first not in workers(stack) and len(workers(stack)) == 2)
    assert other in workers(stack)
    assert f"Child process [{first}] died" in stack.log("web")
    wait_until(lambda: responds(stack.address))


def test_on_sigterm_requests_under_way_are_finished(stack: Stack) -> None:
    stack.start_web()
    web = stack.children["web"].process
    with Raw(stack.address) as connection:
        with locked_tweets(stack):
            for _ in range(THREADS):
                connection.get("/tweets")
            wait_until_threads_are_busy(stack, 1)  # the others wait for the first one's response
            web.terminate()
            wait_until(lambda: "Terminated child process" in stack.log("web"))
        assert connection.reply().status == 200
    assert web.wait(30) == 0


def test_a_slow_body_does_not_keep_the_server_from_stopping(stack: Stack) -> None:
    stack.start_web()
    web = stack.children["web"].process
    with Raw(stack.address) as connection:
        connection.post("/tweets", b"{", length=60_000)
        wait_until_read(stack)
        web.terminate()
        assert web.wait(30) == 0
        assert connection.is_closed()
    assert "Traceback" not in stack.log("web")


def test_the_access_log_has_a_line_for_each_request(stack: Stack) -> None:
    web = stack.start_web(access_log=True)
    web.get("/tweets?limit=7")
    wait_until(lambda: "limit=7" in stack.log("web"))
    [line] = [line for line in stack.log("web").splitlines() if "limit=7" in line]
    assert re.fullmatch(
        r"\S+ \S+ INFO twit.requests request=\w+: "
        r'127.0.0.1 "GET /tweets\?limit=7" 200, 2 bytes, \d+\.\d+ s',
        line,
    )


def test_a_port_that_is_taken_ends_the_server_with_a_sentence(site: Site) -> None:
    port = site.address.rpartition(":")[2]
    command = [sys.executable, "-m", "twit.web", "--port", port]
    ended = subprocess.run(
        command, cwd=CHECKOUT, env=site.env, check=False, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert "address already in use" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr
