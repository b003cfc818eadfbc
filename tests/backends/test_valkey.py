"""Connections to real servers: AUTH, SELECT, TLS, forks, threads and failures."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import trustme
from django.conf import settings
from django.test import override_settings

from backends.address import Address
from backends.nodes import nodes
from backends.script import Script
from backends.servers import Server, server
from backends.valkey import MOST_OWED, CommandRefused, Connection, Refusal, Unavailable, packed
from tests.factories import FollowFactory, TweetFactory
from tests.proxy import Proxy
from tests.stack import Stack, wait_until
from tests.timelines.lists import admit, deliver_all, page, query
from tests.valkey import client
from twit.local.net import free_port
from users.models import User

Tls = Callable[..., str]
needs_tls = pytest.mark.skipif(
    not shutil.which("redis-server"), reason="Debian's redis-server, which speaks TLS, is missing"
)


def url(**changes: object) -> str:
    """The URL of the tests' own Valkey with other parts."""
    parts = urlsplit(settings.REDIS_URL)
    credentials = changes.get("credentials", f":{parts.password}")
    database = changes.get("database", parts.path.strip("/"))
    return f"redis://{credentials}@{parts.hostname}:{parts.port}/{database}"


def ask(url: str, *command: str) -> object:
    with Server(Address.parse(url)).connection() as connection:
        [answer] = connection.ask(command)
    return answer


def test_a_connection_authenticates_and_selects_its_database() -> None:
    client().set("here", "yes")
    assert ask(url(), "GET", "here") == b"yes"
    assert ask(url(database=1023), "GET", "here") is None


def test_a_connection_authenticates_as_a_named_user() -> None:
    password = "p@ss/word:1"
    client().acl_setuser("alyssa", enabled=True, passwords=[f"+{password}"], commands=["+@all"])
    try:
        named = url(credentials=f"alyssa:{quote(password, safe='')}")
        assert ask(named, "ACL", "WHOAMI") == b"alyssa"
    finally:
        client().acl_deluser("alyssa")


@pytest.mark.parametrize("credentials", ["", ":wrong", "nobody:tests"])
def test_wrong_credentials_make_the_server_unavailable_and_trip_the_breaker(
    credentials: str,
) -> None:
    wrong = Server(Address.parse(url(credentials=credentials)))
    with pytest.raises(Unavailable, match=r"NOAUTH|WRONGPASS"), wrong.connection():
        pass
    assert not wrong.breaker.lets_through()


@pytest.mark.parametrize(
    "wrong",
    [
        "foo",
        "localhost:6379",
        "http://localhost",
        "unix:///run/redis.sock",
        "redis://localhost/zero",
        "redis://localhost:0x1",
        "redis://localhost:99999",
        "redis://localhost/0?timeout=1",
        "redis://localhost/0?ssl_cert_reqs=none",
        "rediss://localhost/0?ssl_cert_reqs=perhaps",
        "rediss://localhost/0?ssl_ca_certs=/nowhere",
        "rediss://localhost/0?ssl_certfile=/nowhere",
    ],
)
def test_a_wrong_url_is_refused_without_quoting_it(wrong: str) -> None:
    with pytest.raises(ValueError) as refused:
        Address.parse(wrong)
    assert wrong not in str(refused.value)


def test_one_failed_command_does_not_hide_the_replies_to_others() -> None:
    with server("REDIS_URL").connection() as connection:
        connection.send(b"SET a 1\r\nLPUSH a 1\r\nGET a\r\n")
        ok, refusal, value = connection.replies(3)
    assert (ok, value) == (b"OK", b"1")
    assert isinstance(refusal, Refusal)
    assert refusal.message.startswith("WRONGTYPE")


def test_an_exception_closes_the_connection_so_that_no_late_reply_answers_the_next() -> None:
    with pytest.raises(KeyError), server("REDIS_URL").connection() as connection:
        connection.send(b"BLPOP nothing 0.2\r\n")  # polling does not reveal a reply that is late
        raise KeyError
    with server("REDIS_URL").connection() as connection:
        assert connection.ask(("PING",)) == [b"PONG"]


def test_a_refused_command_is_unavailable_and_does_not_trip_the_breaker() -> None:
    client().set("text", "no list")
    with (
        pytest.raises(Unavailable, match="WRONGTYPE"),
        server("REDIS_URL").connection() as connection,
    ):
        connection.ask(("LPUSH", "text", 1))
    assert server("REDIS_URL").breaker.lets_through()


def test_each_thread_has_a_connection_of_its_own_which_ends_with_it() -> None:
    seen: list[int] = []

    def use() -> None:
        with server("REDIS_URL").connection() as connection:
            [number] = connection.ask(("CLIENT", "ID"))
            assert isinstance(number, int)
            seen.append(number)

    use()
    use()
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    first, again, other = seen
    assert first == again != other
    wait_until(lambda: f"id={other} " not in str(client().execute_command("CLIENT", "LIST")))


def test_a_forked_child_opens_a_connection_of_its_own() -> None:
    with server("REDIS_URL").connection() as connection:
        [parents] = connection.ask(("CLIENT", "ID"))
    reads, writes = os.pipe()
    if os.fork() == 0:
        with server("REDIS_URL").connection() as connection:
            os.write(writes, str(connection.ask(("CLIENT", "ID"))[0]).encode())
        os._exit(0)
    os.wait()
    assert int(os.read(reads, 100)) != parents
    os.close(reads)
    os.close(writes)
    with server("REDIS_URL").connection() as connection:
        assert connection.ask(("CLIENT", "ID")) == [parents]


def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used() -> None:
    with server("REDIS_URL").connection() as connection:
        [number] = connection.ask(("CLIENT", "ID"))
    client().execute_command("CLIENT", "KILL", "ID", number)
    with server("REDIS_URL").connection() as connection:
        assert connection.ask(("PING",)) == [b"PONG"]


def test_silence_costs_the_timeout_and_then_nothing_until_the_interval_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = Server(Address.parse(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
        with pytest.raises(Unavailable, match="timed out"), away.connection(0.05):
            pass
        with pytest.raises(Unavailable, match="a moment ago"), away.connection(60):
            pass


def test_a_connection_that_was_lost_silently_is_replaced_at_the_next_call() -> None:
    proxy = Proxy(int(urlsplit(settings.REDIS_URL).port or 0))
    through = Server(Address.parse(proxy.url(settings.REDIS_URL)))
    with through.connection() as connection:
        connection.ask(("PING",))
    proxy.forget()
    with pytest.raises(Unavailable), through.connection() as connection:
        connection.ask(("PING",))
    with through.connection() as connection:
        assert connection.ask(("PING",)) == [b"PONG"]
    proxy.close()


def test_garbage_is_a_server_that_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        wrong = Server(Address.parse(f"redis://127.0.0.1:{listener.getsockname()[1]}/0"))
        with pytest.raises(Unavailable, match="Protocol error"), wrong.connection():
            pass
        thread.join()


def test_a_script_is_loaded_once_per_connection() -> None:
    script = Script("return ARGV[1] .. KEYS[1]")
    with server("REDIS_URL").connection() as connection:
        client().script_flush()
        for _ in range(2):
            assert connection.ask(connection.script(script, ["key"], "value ")) == [b"value key"]
        client().script_flush()
        with pytest.raises(CommandRefused, match="NOSCRIPT"):
            connection.ask(connection.script(script, ["key"], "value "))


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Tls]:
    """tls_server(clients="yes"): start a Redis with TLS; return its URL without options."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, identity in (("server", "localhost"), ("client", "twit@example.org")):
        authority.issue_cert(identity).private_key_and_cert_chain_pem.write_to_path(
            str(tmp_path / f"{name}.pem")
        )
    started: list[subprocess.Popen[bytes]] = []

    def start(clients: str = "no") -> str:
        port = free_port()
        certificate = str(tmp_path / "server.pem")
        options = {
            **{"port": "0", "tls-port": str(port), "dir": str(tmp_path), "save": ""},
            **{"requirepass": "secret", "tls-auth-clients": clients},
            **{"tls-cert-file": certificate, "tls-key-file": certificate},
            "tls-ca-cert-file": str(tmp_path / "ca.pem"),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        started.append(subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL))

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens)
        return f"rediss://:secret@localhost:{port}/0"

    yield start
    for process in started:
        process.terminate()
        process.wait()


@needs_tls
def test_tls_verifies_the_server_by_the_given_authority(tls_server: Tls, tmp_path: Path) -> None:
    plain = tls_server()
    assert ask(f"{plain}?ssl_ca_certs={tmp_path}/ca.pem", "PING") == b"PONG"
    assert ask(f"{plain}?ssl_cert_reqs=none", "PING") == b"PONG"
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        ask(plain, "PING")
    by_address = plain.replace("localhost", "127.0.0.1")
    with pytest.raises(Unavailable, match="certificate is not valid for"):
        ask(f"{by_address}?ssl_ca_certs={tmp_path}/ca.pem", "PING")


@needs_tls
def test_tls_presents_the_clients_certificate(tls_server: Tls, tmp_path: Path) -> None:
    authenticated = f"{tls_server(clients='yes')}?ssl_ca_certs={tmp_path}/ca.pem"
    with pytest.raises(Unavailable):
        ask(authenticated, "PING")
    assert ask(f"{authenticated}&ssl_certfile={tmp_path}/client.pem", "PING") == b"PONG"


@needs_tls
@pytest.mark.django_db(transaction=True)
def test_timelines_are_built_and_pushed_to_over_tls(
    tls_server: Tls, tmp_path: Path, ben: User, alyssa: User
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    with override_settings(REDIS_URL=f"{tls_server()}?ssl_ca_certs={tmp_path}/ca.pem"):
        admit()
        page(ben)
        TweetFactory.create_batch(30, author=alyssa)
        deliver_all()
        assert page(ben) == query(ben)[:20]
        assert client().llen(f"home:{{{ben.pk}}}") == 31


@needs_tls
def test_web_server_and_worker_run_over_tls(stack: Stack, tls_server: Tls, tmp_path: Path) -> None:
    stack.env["REDIS_URL"] = f"{tls_server()}?ssl_ca_certs={tmp_path}/ca.pem"
    stack.manage("loaddata", "demo")
    web = stack.start_web()
    stack.start_worker("worker")
    before = web.get("/tweets/followed/2").json()
    tweet = web.post("/tweets", json={"userId": "1", "message": "hello"}).json()
    wait_until(lambda: web.get("/tweets/followed/2").json() == [tweet, *before])


def test_opening_a_connection_to_nobody_raises_os_error() -> None:
    with pytest.raises(OSError):
        Connection(Address.parse(f"redis://127.0.0.1:{free_port()}"), 1)


def test_what_is_asked_early_is_answered_in_order_with_the_rest() -> None:
    with server("REDIS_URL").connection() as connection:
        early = connection.ask_early(("SET", "a", 1), ("GET", "a"))
    with server("REDIS_URL").connection() as connection:
        assert connection.ask(("GET", "a"), ("INCR", "a")) == [b"1", 2]
        assert early == [b"OK", b"1"]
        later = connection.ask_early(("LPUSH", "a", 1))
        connection.catch_up()
    assert isinstance(later[0], Refusal)


def test_replies_that_nobody_comes_for_do_not_pile_up() -> None:
    asked = []
    for _ in range(20):
        with server("REDIS_URL").connection() as connection:
            asked.append(connection.ask_early(("PING",)))
    assert sum(not replies for replies in asked) <= MOST_OWED
    assert all(replies == [b"PONG"] for replies in asked[:-MOST_OWED])


def test_a_lost_connection_leaves_what_was_asked_early_without_replies() -> None:
    with server("REDIS_URL").connection() as connection:
        connection.ask(("PING",))
    with server("REDIS_URL").connection() as connection:
        early = connection.ask_early(("PING",))
    with pytest.raises(Unavailable), server("REDIS_URL").connection():
        raise ConnectionError
    with server("REDIS_URL").connection() as connection:
        connection.catch_up()
        assert connection.ask(("PING",)) == [b"PONG"]
    assert not early


def test_a_server_that_was_only_asked_early_is_not_known_to_answer() -> None:
    """Otherwise one that accepts commands and answers none would never trip the breaker."""
    breaker = server("REDIS_URL").breaker
    with server("REDIS_URL").connection() as connection:
        breaker.trip()
        connection.ask_early(("PING",))
    assert not breaker.is_closed


def test_a_trial_that_asks_early_closes_the_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise those who come for the replies would be turned away, trial after trial."""
    valkey = server("REDIS_URL")
    monkeypatch.setattr(valkey.breaker, "interval_seconds", 0.05)
    valkey.breaker.trip()
    time.sleep(0.06)
    with valkey.connection() as connection:
        early = connection.ask_early(("PING",))
    assert early == [b"PONG"]
    assert valkey.breaker.is_closed


def test_the_roles_of_one_server_share_its_breaker_and_its_connections() -> None:
    with override_settings(LIMITS_URL=settings.REDIS_URL):
        assert server("LIMITS_URL") is nodes().server("")


def test_lines_end_where_the_next_reply_begins() -> None:
    with server("REDIS_URL").connection(10.0) as connection:
        connection.ask(("DEL", "a", "b"))
        many = [("RPUSH", "a", place) for place in range(12_000)]  # more than fits the buffer
        connection.send(packed([*many, ("SET", "b", "text"), ("LPUSH", "b", 1), ("GET", "b")]))
        assert connection.lines(12_000) == [b":%d" % length for length in range(1, 12_001)]
        assert connection.lines(2)[0] == b"+OK"
        assert [*connection.replies(1)] == [b"text"]
