"""A cluster of Valkeys for one test: primaries, replicas, slots that move, and faults."""

import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from backends.slots import SLOTS, Slots, stable
from backends.valkey import Reply
from tests.stack import wait_until
from twit.local import valkey
from twit.local.net import LOOPBACK, free_port

PASSWORD = "tests"


class Node:
    """A node of a cluster. It restarts at the same address, with the data that it had."""

    def __init__(self, folder: Path, number: int, config: str) -> None:
        self.home, self.log = folder / f"node-{number}", folder / f"node-{number}.log"
        self.port = free_port()
        self._config = f"{valkey.of_a_node()}\n{config}\nrepl-diskless-sync-delay 0"
        self.address = f"{LOOPBACK}:{self.port}"
        self.start()
        self.id = self.told("CLUSTER", "MYID")

    def start(self) -> None:
        self.child, self.url = valkey.start(
            self.home, password=PASSWORD, log=self.log, port=self.port, config=self._config
        )

    def ask(self, *command: str | int) -> Reply:
        """Return the reply to a command."""
        return valkey.ask(self.url, command)[0]

    def told(self, *command: str | int) -> str:
        """Return the reply to a command as a text."""
        reply = self.ask(*command)
        assert isinstance(reply, bytes)
        return reply.decode()

    def known(self) -> dict[str, list[str]]:
        """Return the fields of CLUSTER NODES, by the nodes' ids, as this node sees them."""
        lines = self.told("CLUSTER", "NODES").splitlines()
        return {line.split()[0]: line.split() for line in lines}

    def slots(self) -> list[Slots]:
        """Return the slots that the node serves."""
        return list(stable(self.known()[self.id][8:]))

    def is_primary(self) -> bool:
        return "role:master" in self.told("INFO", "replication")

    def freeze(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.child.process.kill()
        self.child.process.wait()

    def stop(self) -> None:
        self.thaw()
        self.child.stop()


class Valkeys:
    """A cluster. `url` names its first primaries; `nodes` are these, their replicas, and others."""

    def __init__(
        self, folder: Path, primaries: int, *, replicas: bool = False, node_timeout_ms: int = 2_000
    ) -> None:
        self._folder, self._config = folder, f"cluster-node-timeout {node_timeout_ms}"
        self.nodes: list[Node] = []
        first = [self._start_node() for _ in range(primaries)]
        self.url = valkey.join([node.url for node in first])
        if replicas:
            for primary, node in zip(first, self.add(primaries), strict=True):
                node.told("CLUSTER", "REPLICATE", primary.id)
            for node in self.nodes[primaries:]:
                wait_until(partial(_is_synchronised, node))

    def _start_node(self) -> Node:
        node = Node(self._folder, len(self.nodes), self._config)
        self.nodes.append(node)
        return node

    def add(self, count: int = 1) -> list[Node]:
        """Add nodes without slots."""
        nodes = [self._start_node() for _ in range(count)]
        for node in nodes:
            valkey.meet(self.nodes[0].url, node.url)
        self.wait_until_agreed()
        return nodes

    def owner(self, slot: int) -> Node:
        """Return the node that serves the slot."""
        return next(node for node in self.living() if any(slot in slots for slots in node.slots()))

    def living(self) -> Iterator[Node]:
        """Yield the nodes that run. A frozen one counts as running."""
        return (node for node in self.nodes if node.child.process.poll() is None)

    def move(self, source: Node, target: Node, slots: Sequence[Slots]) -> None:
        """Move slots with their lists, and wait until the target serves them."""
        ranges = [number for part in slots for number in part]
        source.told("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", target.id)
        wait_until(lambda: all(_slots_in(part, target.slots()) for part in slots), 60)

    def wait_until_agreed(self) -> None:
        """Wait until all nodes know each other and serve all slots."""
        wait_until(lambda: all(self._is_content(node) for node in self.living()))

    def _is_content(self, node: Node) -> bool:
        info = node.told("CLUSTER", "INFO").splitlines()
        wanted = {"cluster_state:ok", f"cluster_slots_ok:{SLOTS}"}
        return wanted <= set(info) and set(node.known()) == {each.id for each in self.nodes}

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def _is_synchronised(node: Node) -> bool:
    return "master_link_status:up" in node.told("INFO", "replication")


def _slots_in(part: Slots, ranges: Sequence[Slots]) -> bool:
    """Return whether the part is inside one of the ranges."""
    return any(part.common(slots) == part for slots in ranges)
