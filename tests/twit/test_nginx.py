"""nginx in front of a real server, with the configuration in deploy/nginx."""

import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.db import connection

from tests.factories import FollowFactory, TweetFactory
from tests.nginx import NGINX, Proxy, proxy
from tests.stack import Stack, wait_until
from tests.streamer import Streamer
from tests.timelines.lists import deliver_all
from tests.valkey import client
from twit.local.net import LOOPBACK, free_port
from users.models import User

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not NGINX, reason="Debian's nginx is missing"),
]
SLOW = 200  # clients


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process that believes one proxy and redirects to HTTPS."""
    at = os.environ["DATABASE_URL"].rpartition("/")[0]
    address = f"{at}/{connection.settings_dict['NAME']}"
    stack = Stack(tmp_path_factory.mktemp("web"), address, settings.REDIS_URL)
    stack.start_web(
        probe="/livez", TWIT_HTTPS="on", TWIT_PROXIES="1", TWIT_LIMIT_REQUESTS="100000/15m"
    )
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def front(server: Stack) -> Iterator[Proxy]:
    with proxy(urlsplit(server.address).port or 0) as running:
        yield running


class Echo(BaseHTTPRequestHandler):
    """Answers with the request's headers, or with two parts of a stream."""

    protocol_version = "HTTP/1.1"
    goes_on = threading.Event()

    def do_GET(self) -> None:
        if self.path.endswith("/stream"):
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"first")
            self.goes_on.wait(20)
            return
        body = json.dumps({name.lower(): self.headers.get_all(name) for name in self.headers})
        self.send_response(200)
        self.send_header("X-Request-ID", "of the server")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def echo() -> Iterator[httpx.Client]:
    """A client of nginx in front of a server that shows what it gets."""
    with ThreadingHTTPServer((LOOPBACK, 0), Echo) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        with proxy(upstream.server_port) as running, running.client() as http:
            yield http
        upstream.shutdown()


def connections_to(port: int) -> int:
    """Return how many connections lead to that port of this machine."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") for line in lines if " 01 " in line)


def test_the_whole_of_http_leads_to_https(front: Proxy) -> None:
    forged = {"X-Forwarded-Proto": "https"}
    answer = httpx.get(f"{front.http}/tweets?limit=1", headers=forged, trust_env=False, timeout=30)
    assert answer.status_code == 301
    assert answer.headers["location"] == f"{front.http}/tweets?limit=1".replace("http:", "https:")
    assert httpx.get(f"{front.http}/livez", trust_env=False, timeout=30).status_code == 200


def test_tls_with_http_2_reaches_the_api(front: Proxy) -> None:
    with front.client() as http:
        answer = http.get("/tweets?limit=1")
    assert answer.status_code == 200
    assert "strict-transport-security" not in answer.headers  # it was not asked for
    command = ["curl", "-sk", "--http2", "-o", os.devnull, "-w", "%{http_version} %{http_code}"]
    curl = subprocess.run([*command, f"{front.https}/tweets"], check=True, capture_output=True)
    assert curl.stdout == b"2 200"


def test_json_is_compressed(front: Proxy, ben: User) -> None:
    TweetFactory.create(author=ben)
    with front.client() as client:
        packed = client.get("/tweets")
        assert packed.headers["Content-Encoding"] == "gzip"
        known = {"If-None-Match": packed.headers["ETag"]}
        assert client.get("/tweets", headers=known).status_code == 304


def test_a_forged_address_and_protocol_are_replaced(echo: httpx.Client) -> None:
    forged = {
        **{"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "http"},
        **{"X_Forwarded_For": "198.51.100.8", "Connection": "close, X-Forwarded-For"},
    }
    seen = echo.get("/", headers=forged).json()
    assert seen["x-forwarded-for"] == [LOOPBACK]
    assert seen["x-forwarded-proto"] == ["https"]
    assert seen["host"] == [urlsplit(str(echo.base_url)).netloc]
    assert "x_forwarded_for" not in seen


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [("b0b5-17.a_Z", True), ("", False), ("x" * 65, False), ("a b", False), ("ü", False)],
)
def test_a_request_id_is_passed_on_or_made(echo: httpx.Client, sent: str, is_kept: bool) -> None:
    answer = echo.get("/", headers=[(b"X-Request-ID", sent.encode())] if sent else [])
    [seen] = answer.json()["x-request-id"]
    assert answer.headers.get_list("x-request-id") == [seen]
    assert (seen == sent) if is_kept else re.fullmatch("[0-9a-f]{32}", seen)


def test_a_stream_is_not_buffered(echo: httpx.Client) -> None:
    with echo.stream("GET", "/tweets/followed/17/stream", timeout=5) as answer:
        assert next(answer.iter_raw()) == b"first"
        Echo.goes_on.set()


def test_without_a_certificate_http_is_served(server: Stack) -> None:
    with proxy(urlsplit(server.address).port or 0, has_tls=False) as front:
        assert httpx.get(f"{front.http}/livez", trust_env=False, timeout=30).status_code == 200
        with front.client() as http, pytest.raises(httpx.ConnectError):
            http.get("/livez")


def test_a_server_that_is_down_is_a_503_of_the_apis_form() -> None:
    with proxy(free_port()) as front, front.client() as http:
        answer = http.get("/tweets")
    assert (answer.status_code, list(answer.json())) == (503, ["detail"])
    assert answer.headers["retry-after"] == "1"
    assert len(answer.headers["x-request-id"]) == 32


def test_limits_count_the_clients_address(front: Proxy) -> None:
    with front.client() as one, front.client("127.0.0.2") as other:
        for number in range(3):
            one.get("/tweets", headers={"X-Forwarded-For": f"198.51.100.{number}"})
        left = [int(http.get("/tweets").headers["x-ratelimit-remaining"]) for http in (one, other)]
    assert left == [100_000 - 4, 100_000 - 1]
    keys = set(client().keys("limit:requests:address:*"))
    assert keys == {b"limit:requests:address:127.0.0.1", b"limit:requests:address:127.0.0.2"}


class Encrypted(Streamer):
    """Reads a stream over TLS."""

    front: Proxy

    def connect(self, host: str, port: int) -> socket.socket:
        plain = super().connect(host, port)
        return self.front.tls.wrap_socket(plain, server_hostname="localhost")


def test_a_tweet_arrives_on_a_stream_at_once(front: Proxy, ben: User, alyssa: User) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    Encrypted.front = front
    with Encrypted(front.https, f"/tweets/followed/{ben.pk}/stream").open() as stream:
        assert stream.status == 200
        stream.read_until(lambda: stream.last_id)
        tweet = TweetFactory.create(author=alyssa)
        deliver_all()
        stream.read_until(lambda: tweet.pk in stream.given, 10)  # a heartbeat comes after 15


def page_seconds(http: httpx.Client, count: int = 40) -> list[float]:
    """Return how long pages take."""
    return [http.get("/tweets?limit=20").elapsed.total_seconds() for _ in range(count)]


def test_slow_bodies_do_not_slow_other_clients(front: Proxy, server: Stack, ben: User) -> None:
    body = json.dumps({"userId": ben.pk, "message": "slow " * 8}).encode()
    head = f"POST /tweets HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n".encode()
    at = urlsplit(front.https)
    done = threading.Event()
    with ExitStack() as slow, front.client() as http:
        before = page_seconds(http)
        sockets = []
        for _ in range(SLOW):
            plain = socket.create_connection((LOOPBACK, at.port or 0), 30)
            tls = front.tls.wrap_socket(plain, server_hostname="localhost")
            sockets.append(slow.enter_context(tls))
            sockets[-1].sendall(request)
        sent = 0

        def drip() -> None:
            nonlocal sent
            while not done.wait(1):
                for each in sockets:
                    each.sendall(body[sent : sent + 1])
                sent += 1

        dripping = threading.Thread(target=drip)
        dripping.start()
        wait_until(lambda: sent >= 1)
        during: list[float] = []
        while sent < 4:
            during += page_seconds(http)
        connections = connections_to(urlsplit(server.address).port or 0)
        done.set()
        dripping.join()
        sockets[0].sendall(body[sent:])
        assert sockets[0].recv(65_536).startswith(b"HTTP/1.1 201 ")
    assert connections < 10  # nginx keeps them from the server until they are complete
    # The best of each: the machine may be busy with other things at either time.
    assert min(during) < 2 * min(before) + 0.01
