"""Bodies that are cut off, slow, too long or of unknown length, sent over real connections."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from uuid import uuid4

import httpx
import pytest

from tests.raw import Raw
from tests.site import Site
from twit.web.bodies import BODY_SECONDS, MAX_BODY_BYTES

CHUNKED = "Transfer-Encoding: chunked"
JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=end"
END = "--end--\r\n"


@pytest.fixture
def ben(site: Site) -> str:
    """The header that makes a request ben's."""
    return f"Authorization: Bearer {site.login('ben')}"


@pytest.fixture
def message() -> str:
    """A message that no other test posts."""
    return f"I would never harm {uuid4()}"


@pytest.fixture
def stored(site: Site, message: str) -> Callable[[], list[str]]:
    """stored() returns the messages of all tweets that begin like `message`."""

    def messages() -> list[str]:
        newest = site.client().get("/tweets?limit=9").json()
        return [tweet["message"] for tweet in newest if tweet["message"].startswith(message)]

    return messages


def tweet(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def form(message: str, end: str = END) -> bytes:
    start = '--end\r\nContent-Disposition: form-data; name="message"\r\n\r\n'
    return f"{start}{message}\r\n{end}".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_body_that_is_cut_off_is_not_stored_and_its_retry_is(
    site: Site, ben: str, message: str, stored: Callable[[], list[str]]
) -> None:
    """The part that arrives would be a tweet in itself."""
    key = f"Idempotency-Key: {uuid4()}"
    whole = f"message={message} a fly".encode()
    with Raw(site.address) as connection:
        connection.post("/tweets", whole[:-6], ben, key, kind=URLENCODED, length=len(whole))
    with Raw(site.address) as connection:
        retry = connection.post("/tweets", whole, ben, key, kind=URLENCODED).reply()
    assert retry.status == 201
    assert stored() == [f"{message} a fly"]


@pytest.mark.parametrize("kind", [JSON, URLENCODED, MULTIPART])
def test_a_client_that_stops_in_the_middle_and_still_reads_gets_a_400(
    site: Site, ben: str, message: str, stored: Callable[[], list[str]], kind: str
) -> None:
    bodies = {JSON: tweet(message), URLENCODED: b"message=" + message.encode()}
    body = bodies.get(kind, form(message))
    with Raw(site.address) as connection:
        connection.post("/tweets", body, ben, kind=kind, length=len(body) + 24).half_close()
        reply = connection.reply()
        assert reply.status == 400
        assert reply.body == {"detail": f"The body was cut off after {len(body)} bytes."}
        assert connection.is_closed()
    assert stored() == []


def test_a_chunked_body_without_its_last_chunk_gets_a_400(
    site: Site, ben: str, message: str, stored: Callable[[], list[str]]
) -> None:
    with Raw(site.address) as connection:
        connection.post("/tweets", chunk(tweet(message)), ben, CHUNKED).half_close()
        assert connection.reply().status == 400
    assert stored() == []


def test_a_client_that_sends_its_whole_request_and_no_more_is_answered(
    site: Site, ben: str, message: str
) -> None:
    with Raw(site.address) as connection:
        assert connection.post("/tweets", tweet(message), ben).half_close().reply().status == 201
        assert connection.is_closed()


@pytest.mark.parametrize("end", ["", "--end\r\n", "--en"])
@pytest.mark.parametrize("path", ["/tweets", "/admin/login/"])
def test_a_form_without_its_end_gets_a_400(
    site: Site, ben: str, message: str, stored: Callable[[], list[str]], path: str, end: str
) -> None:
    with Raw(site.address) as connection:
        reply = connection.post(path, form(message, end), ben, kind=MULTIPART).reply()
    assert reply.status == 400
    assert reply.body == {"detail": "The form is cut off: it does not end with --end--."}
    assert stored() == []


@pytest.mark.parametrize("end", [END, "--end--", f"{END}an epilogue"])
def test_a_form_with_its_end_is_read(site: Site, ben: str, message: str, end: str) -> None:
    with Raw(site.address) as connection:
        reply = connection.post("/tweets", form(message, end), ben, kind=MULTIPART).reply()
    assert (reply.status, reply.body["message"]) == (201, message)


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_body_of_unknown_length_is_read(site: Site, ben: str, message: str, pieces: int) -> None:
    """Proxies forward such bodies when HTTP/2 clients send no length."""
    body = tweet(message)
    size = -(-len(body) // pieces)
    with Raw(site.address) as connection:
        connection.post("/tweets", b"", ben, CHUNKED)
        for start in range(0, len(body), size):
            connection.send(chunk(body[start : start + size]))
        reply = connection.send(chunk(b"")).reply()
    assert (reply.status, reply.body["message"]) == (201, message)


def test_trailers_are_not_headers(site: Site, ben: str, message: str) -> None:
    """A proxy that sets or removes headers may pass them on as they are."""
    with Raw(site.address) as connection:
        connection.post("/tweets", chunk(tweet(message)), CHUNKED)
        assert connection.send(f"0\r\n{ben}\r\n\r\n".encode()).reply().status == 401


def test_a_body_that_is_too_long_gets_a_413_before_it_is_read(site: Site) -> None:
    for path, most in (("/tweets", MAX_BODY_BYTES), ("/admin/login/", 2_621_440)):
        with Raw(site.address) as connection:
            reply = connection.post(path, b"", length=most + 1).reply()
            assert reply.status == 413
            assert reply.body == {"detail": f"The body is longer than {most:,} bytes."}
            # A client that sends the whole body before it reads gets its answer too.
            connection.send(b"x" * (most + 1))
            assert connection.get("/tweets").reply().status == 200


def test_a_chunked_body_that_becomes_too_long_gets_a_413(site: Site) -> None:
    with Raw(site.address) as connection:
        connection.post("/tweets", chunk(b"x" * MAX_BODY_BYTES), CHUNKED)
        assert connection.send(chunk(b"x")).reply().status == 413
        connection.send(chunk(b"x" * 1_000_000) + chunk(b""))
        assert connection.get("/tweets").reply().status == 200


def test_the_admin_accepts_longer_bodies(site: Site) -> None:
    browser = site.client()
    browser.get("/admin/login/")
    fields = {"username": "x" * 100_000, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    assert browser.post("/admin/login/", data=fields).status_code == 200


def test_eight_long_bodies_are_read_at_a_time(site: Site) -> None:
    """Otherwise, slow ones could fill the memory."""
    with ExitStack() as open_:
        *slow, last = [open_.enter_context(Raw(site.address)) for _ in range(9)]
        for connection in slow:
            connection.post("/admin/login/", b"", kind=URLENCODED, length=MAX_BODY_BYTES + 1)
        time.sleep(0.5)
        last.post("/admin/login/", b"x" * (MAX_BODY_BYTES + 1), kind=URLENCODED)
        last.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            last.socket.recv(1)
        slow[0].close()
        last.socket.settimeout(30)
        assert last.reply().status == 403  # it has no CSRF token


def test_a_client_that_asks_before_it_sends_is_told_to_go_on_or_refused(
    site: Site, ben: str, message: str
) -> None:
    ask = "Expect: 100-continue"
    with Raw(site.address) as connection:
        connection.post("/tweets", b"", ben, ask, length=len(tweet(message)))
        assert connection.socket.recv(99) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.send(tweet(message)).reply().status == 201
    with Raw(site.address) as connection:
        assert connection.post("/tweets", b"", ben, ask, length=100_000).reply().status == 413


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", CHUNKED),
        ("Content-Length: -5",),
        ("Content-Length: +5",),
        ("Content-Length: five",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked, identity",),
    ],
)
def test_a_length_that_is_ambiguous_or_wrong_gets_a_400(
    site: Site, headers: tuple[str, ...]
) -> None:
    lines = ["POST /tweets HTTP/1.1", "Host: localhost", *headers, "", "0\r\n\r\n"]
    with Raw(site.address) as connection:
        reply = connection.send("\r\n".join(lines).encode()).reply()
        assert (reply.status, list(reply.body)) == (400, ["detail"])
        assert connection.is_closed()


def latencies(web: httpx.Client) -> list[float]:
    """Return how many seconds each of 30 pages took."""
    taken = []
    for _ in range(30):
        started = time.monotonic()
        web.get("/tweets?limit=5").raise_for_status()
        taken.append(time.monotonic() - started)
    return taken


def test_slow_bodies_get_a_408_and_delay_nobody(site: Site, ben: str, message: str) -> None:
    """There are 200 of them and one process of four threads."""
    alone = latencies(site.client())
    with ExitStack() as slow:
        started = time.monotonic()
        connections = [slow.enter_context(Raw(site.address)) for _ in range(200)]
        for connection in connections:
            connection.post("/auth/login", b"{", length=50)
        beside = latencies(site.client())
        with Raw(site.address) as quick:
            assert quick.post("/tweets", tweet(message), ben).reply().status == 201
        print(f"\na page: {1000 * median(alone):.1f} ms")
        print(f"a page beside 200 slow bodies: {1000 * median(beside):.1f} ms")
        assert median(beside) < 2
        with ThreadPoolExecutor(50) as threads:
            replies = list(threads.map(lambda connection: connection.reply(), connections))
        assert time.monotonic() - started >= BODY_SECONDS
        assert {reply.status for reply in replies} == {408}
        assert replies[0].headers["connection"] == "close"
        assert replies[0].body == {"detail": "The body did not arrive within 10 seconds."}
        assert connections[0].is_closed()


def test_a_longer_body_may_take_longer(site: Site, ben: str, message: str) -> None:
    """Spaces follow the tweet. The last one arrives after 11 seconds."""
    body = tweet(message).ljust(MAX_BODY_BYTES)
    with Raw(site.address) as connection:
        connection.post("/tweets", body[:-1], ben, length=len(body))
        time.sleep(BODY_SECONDS + 1)
        assert connection.send(body[-1:]).reply().status == 201
