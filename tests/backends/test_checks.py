"""Servers that can't be what a setting says are reported with one sentence each."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from backends import checks
from tests.up import copied_checkout
from tests.valkey import client
from tests.valkeys import Valkeys
from twit.local import valkey
from twit.local.net import free_port
from twit.local.process import StepFailed


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkeys]:
    cluster = Valkeys(tmp_path_factory.mktemp("cluster"), 2, node_timeout_ms=15_000)
    yield cluster
    cluster.stop()


def texts(**urls: str) -> list[str]:
    return [problem.text for problem in checks.problems(urls)]


def hosts(url: str) -> str:
    return url.rpartition("@")[2].partition("/")[0]


def test_right_servers_have_no_problems(valkeys: Valkeys) -> None:
    one = os.environ["REDIS_URL"]
    assert texts(REDIS_URL=valkeys.url, BROKER_URL=one, LIMITS_URL=one) == []
    assert texts(REDIS_URL=one, BROKER_URL="amqp://rabbit", LIMITS_URL=one) == []


def test_a_server_that_does_not_answer_is_waited_for() -> None:
    dead = f"127.0.0.1:{free_port()}"
    assert texts(REDIS_URL=f"redis://{dead}/0") == []
    assert texts(REDIS_URL=f"valkey-cluster://{dead}", BROKER_URL=f"redis://{dead}/0") == []


def test_make_up_asks_the_other_nodes_of_a_cluster_if_the_first_one_is_dead(
    valkeys: Valkeys,
) -> None:
    dead, living = f"127.0.0.1:{free_port()}", hosts(valkeys.nodes[0].url)
    assert valkey.ask(f"valkey-cluster://:tests@{dead},{living}", ("PING",)) == [b"PONG"]
    with pytest.raises(StepFailed):
        valkey.ask(f"valkey-cluster://:tests@{dead}", ("PING",))


def test_a_node_of_a_cluster_is_no_single_server(valkeys: Valkeys) -> None:
    one, node = os.environ["REDIS_URL"], valkeys.nodes[0].url
    assert texts(REDIS_URL=node) == [
        "The server of REDIS_URL is a node of a cluster; write valkey-cluster://... to use that."
    ]
    for name in ("BROKER_URL", "LIMITS_URL"):
        sentence = f"The server of {name} is a node of a cluster."
        assert texts(**{"REDIS_URL": one, name: node}) == [sentence]


def test_a_single_server_is_no_cluster(valkeys: Valkeys) -> None:
    one = hosts(os.environ["REDIS_URL"])
    url = f"{valkeys.url},{one}"
    assert texts(REDIS_URL=url) == [f"{one} in REDIS_URL is not a node of a cluster."]


def test_nodes_of_two_clusters_are_no_cluster(valkeys: Valkeys, tmp_path: Path) -> None:
    other = Valkeys(tmp_path, 1)
    first, stranger = hosts(valkeys.nodes[0].url), hosts(other.nodes[0].url)
    found = texts(REDIS_URL=f"valkey-cluster://:tests@{first},{stranger}")
    other.stop()
    assert found == [f"{stranger} in REDIS_URL belongs to another cluster than {first}."]


def test_slots_without_a_server_are_a_warning(tmp_path: Path) -> None:
    node, url = valkey.start(
        tmp_path, password="x", log=tmp_path / "log", config=valkey.of_a_node()
    )
    valkey.ask(url, ("CLUSTER", "ADDSLOTSRANGE", 0, 16_000))
    [problem] = checks.problems({"REDIS_URL": f"valkey-cluster://:x@{hosts(url)}"})
    node.stop()
    text = "383 slots of the cluster in REDIS_URL have no primary that answers."
    assert problem == (f"{text} Their timelines come from Postgres.", False)


def test_a_replica_is_a_warning(tmp_path: Path) -> None:
    node, url = valkey.start(tmp_path, password="x", log=tmp_path / "log")
    valkey.ask(url, ("REPLICAOF", "127.0.0.1", free_port()))
    [problem] = checks.problems({"REDIS_URL": url})
    node.stop()
    assert problem == ("The server of REDIS_URL is a replica; Twit needs the primary.", False)


def test_an_old_server_is_reported(valkeys: Valkeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """None can be installed here, so this asks for a newer one than there is."""
    monkeypatch.setattr(checks, "OLDEST", 99)
    version = client().info("server")["redis_version"]
    needs = f"has version {version}; Twit needs Valkey 7.2 or Redis 7."
    assert texts(REDIS_URL=os.environ["REDIS_URL"]) == [f"The server of REDIS_URL {needs}"]
    assert texts(REDIS_URL=valkeys.url) == [
        f"{hosts(node.url)} in REDIS_URL {needs}" for node in valkeys.nodes
    ]


def test_only_fatal_problems_stop_a_program(
    valkeys: Valkeys, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    node = valkeys.nodes[0].url
    with (
        override_settings(REDIS_URL=node),
        pytest.raises(ImproperlyConfigured, match="REDIS_URL is a node of a cluster"),
    ):
        checks.require()
    child, url = valkey.start(tmp_path, password="x", log=tmp_path / "log")
    valkey.ask(url, ("REPLICAOF", "127.0.0.1", free_port()))
    with override_settings(REDIS_URL=url):
        checks.require()
        [warning] = checks.check()
    child.stop()
    assert "is a replica" in caplog.text
    assert warning.id == "twit.W001"


@pytest.mark.parametrize(
    "program", ["manage.py check", "-m celery -A twit worker", "-m twit.web", "-m twit.local"]
)
def test_every_program_says_so_and_stops(valkeys: Valkeys, program: str) -> None:
    env = os.environ | {"REDIS_URL": valkeys.nodes[0].url}
    with copied_checkout() as checkout:
        ended = subprocess.run(
            [sys.executable, *program.split()],
            cwd=checkout,
            env=env,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 1
    sentence = "The server of REDIS_URL is a node of a cluster; write valkey-cluster://... to use"
    assert (ended.stdout + ended.stderr).count(sentence) == 1
    assert "Traceback" not in ended.stderr
    assert ":tests@" not in ended.stdout + ended.stderr  # the password
