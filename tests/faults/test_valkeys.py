"""Timelines on a Valkey cluster of three primaries and three replicas, under load, with faults.

TWIT_STORMS sets the number of runs, up to 5. Several runs take 3 minutes each, and a single one
half of that.
"""

import os
import time
from collections.abc import Callable, Iterator

import pytest

from backends.slots import SLOTS, Slots
from tests.faults.cluster import USERS, Cluster
from tests.faults.conftest import Note, Report, running, temporary_folder
from tests.faults.load import Clients, compare
from tests.stack import wait_until
from tests.valkeys import Node, Valkeys

RUNS = min(5, int(os.environ.get("TWIT_STORMS", "1")))
NODE_TIMEOUT_MS = 4_000
STEP_SECONDS = 13.0 if RUNS == 1 else 25.0  # until the next fault


@pytest.fixture
def valkeys() -> Iterator[Valkeys]:
    with temporary_folder() as folder:
        made = Valkeys(folder, 3, replicas=True, node_timeout_ms=NODE_TIMEOUT_MS)
        yield made
        made.stop()


@pytest.fixture
def cluster(valkeys: Valkeys) -> Iterator[Cluster]:
    with running(timelines=valkeys.url) as made:
        yield made


def primaries(valkeys: Valkeys) -> list[Node]:
    """Return the nodes with slots, once they agree: one that was away learns of it late."""
    wait_until(lambda: _slots_in_all(valkeys) == SLOTS)
    return [node for node in valkeys.living() if node.slots()]


def _slots_in_all(valkeys: Valkeys) -> int:
    return sum(last + 1 - first for node in valkeys.living() for first, last in node.slots())


def a_primary_is_killed(valkeys: Valkeys) -> None:
    """Its replica is promoted. It comes back as a replica."""
    killed = primaries(valkeys)[0]
    killed.kill()
    time.sleep(10)
    killed.start()


def a_primary_hangs_for_a_moment(valkeys: Valkeys) -> None:
    """Workers give up on it, but it keeps its slots and its lists."""
    frozen = primaries(valkeys)[0]
    frozen.freeze()
    time.sleep(0.85 * NODE_TIMEOUT_MS / 1000)
    frozen.thaw()


def a_primary_is_frozen(valkeys: Valkeys) -> None:
    """It stays a primary in its own view until it hears of its successor."""
    frozen = primaries(valkeys)[1]
    frozen.freeze()
    time.sleep(2.5 * NODE_TIMEOUT_MS / 1000)
    frozen.thaw()


def a_third_of_the_slots_moves(valkeys: Valkeys) -> None:
    """Two primaries give half of theirs to the third one."""
    *sources, target = primaries(valkeys)
    for source in sources:
        valkeys.move(source, target, [_half(source)])


def a_node_is_added(valkeys: Valkeys) -> None:
    """It has no slots at first, and gets some of each other primary's."""
    sources = primaries(valkeys)
    [node] = valkeys.add()
    for source in sources:
        valkeys.move(source, node, [_half(source)])


def _half(node: Node) -> Slots:
    first, last = max(node.slots(), key=lambda slots: slots.last - slots.first)
    return Slots(first, (first + last) // 2)


def a_replica_is_killed(valkeys: Valkeys) -> None:
    """Nobody reads from it."""
    next(node for node in valkeys.living() if not node.is_primary()).kill()


FAULTS: list[Callable[[Valkeys], None]] = [
    a_primary_hangs_for_a_moment,
    a_primary_is_killed,
    a_primary_is_frozen,
    a_third_of_the_slots_moves,
    a_node_is_added,
    a_replica_is_killed,
]


@pytest.mark.parametrize("run", range(RUNS))
def test_faults_of_a_cluster_lose_nothing(
    cluster: Cluster, valkeys: Valkeys, run: int, report: Report, note: Note
) -> None:
    with Clients(cluster, USERS, run).at_work() as oracle:
        started = time.monotonic()
        time.sleep(10)
        for number, fault in enumerate(FAULTS, 1):
            fault(valkeys)
            longest, oracle.longest_seconds = oracle.longest_seconds, 0.0
            note(f"run {run}, before and during {fault.__name__}: {longest:.2f} s at most")
            time.sleep(max(0, number * STEP_SECONDS + 10 - (time.monotonic() - started)))
        time.sleep(20)
        seconds = cluster.wait_until_delivered()
    cluster.wait_until_delivered()
    report(f"faults of a cluster, run {run}", oracle, seconds)
    note(f"run {run}: {generations(cluster)}, {time.monotonic() - started:.0f} s")
    compare(cluster, oracle, range(1, USERS + 1))
    assert len(oracle.posted) > 500
    assert oracle.unavailable == 0
    assert oracle.longest_seconds < 1


def generations(cluster: Cluster) -> str:
    """Return how often a server was admitted for some slots, and how often none."""
    logs = "".join(cluster.log(name) for name in ("one", "two"))
    return f"{logs.count('is admitted')} admissions, {logs.count('no server is admitted')} removals"
