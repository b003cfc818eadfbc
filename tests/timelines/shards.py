"""Two primaries of a cluster, between which slots move, and processes with different knowledge."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from django.test import override_settings

from backends.slots import SLOTS
from tests.stack import wait_until
from tests.valkeys import PASSWORD, Node
from timelines.lists import store
from twit.local import valkey
from twit.local.net import LOOPBACK

HALF = SLOTS // 2
OVER = {b"success", b"failed", b"canceled"}  # states of a migration
ALL_PACKETS, NO_PACKETS = -2, -1  # for DROP-CLUSTER-PACKET-FILTER
CONFIG = """
    cluster-node-timeout 10000
    hz 500
    enable-debug-command yes
"""


class Shard(Node):
    """A node of a cluster, which can be made deaf."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, number, CONFIG)
        self.client: redis.Redis = redis.Redis.from_url(self.url, protocol=2)

    def has(self) -> set[int]:
        """Return the slots that it says it has, even those that it is sending."""
        ranges = [word.split("-") for word in self.known()[self.id][8:] if word[0] != "["]
        return {slot for words in ranges for slot in range(int(words[0]), int(words[-1]) + 1)}

    def is_sending_slots(self) -> bool:
        jobs = [dict(zip(job[::2], job[1::2], strict=True)) for job in self.migrations()]
        return any(job[b"state"] not in OVER for job in jobs if job[b"operation"] == b"EXPORT")

    def migrations(self) -> Any:
        return self.ask("CLUSTER", "GETSLOTMIGRATIONS")

    def seize(self, slot: int, owner: "Shard") -> None:
        """Take a slot with a new epoch, so that nothing that its owner sent before counts."""
        self.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", owner.id)
        self.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id)

    def stop(self) -> None:
        self.client.close()
        super().stop()


class Shards:
    """Two nodes. A process at place 0 and one at place 1 learn by themselves who has which slot."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [Shard(folder, number) for number in range(2)]
        valkey.join([node.url for node in self.nodes])
        wait_until(self.agrees)
        self._moved: set[int] = set()
        self._moving: Shard | None = None  # the source
        self._cut: Shard | None = None

    def _home(self, slot: int) -> Shard:
        return self.nodes[slot >= HALF]

    def reset(self) -> None:
        """Empty both nodes and bring all slots home."""
        self.settle()
        for node in self.nodes:
            node.client.flushall()
        for home, other in (self.nodes, self.nodes[::-1]):
            for slot in self._moved - home.has():
                if self._home(slot) is home:
                    home.seize(slot, other)
            self.settle()
        self._moved.clear()

    @contextmanager
    def seen_from(self, place: int) -> Iterator[None]:
        """Act as a process at that place. Each has a URL, and so a layout, of its own."""
        hosts = [f"{LOOPBACK}:{node.port}" for node in self.nodes]
        url = f"valkey-cluster://:{PASSWORD}@{','.join(hosts[::-1] if place else hosts)}"
        with override_settings(REDIS_URL=url):
            yield

    def clients(self, place: int) -> Sequence[redis.Redis]:
        """Return clients for both nodes."""
        return [node.client for node in self.nodes]

    def _slot(self, reader_id: int) -> int:
        with self.seen_from(0):
            return store.slot(reader_id)

    def place(self, reader_id: int) -> int:
        """Return the place of a node that says that it has the reader's slot."""
        slot = self._slot(reader_id)
        return next(place for place in (0, 1) if slot in self.nodes[place].has())

    def move(self, reader_id: int) -> None:
        """Begin to move the reader's slot to the other node, with the lists in it."""
        self.wait_for_move()
        if self._cut:
            return
        slot = self._slot(reader_id)
        source, target = sorted(self.nodes, key=lambda node: slot not in node.has())
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        self._moving = source
        self._moved.add(slot)

    def wait_for_move(self) -> None:
        if self._moving:
            source, self._moving = self._moving, None
            wait_until(lambda: not source.is_sending_slots(), pause_seconds=0.002)
            wait_until(self.agrees, pause_seconds=0.002)

    def cut_off(self, place: int) -> None:
        """Let one node hear nothing of the other one. It goes on to serve its slots."""
        self.wait_for_move()
        if not self._cut:
            self._cut = self.nodes[place]
            self._cut.ask("DEBUG", "DROP-CLUSTER-PACKET-FILTER", ALL_PACKETS)

    def seize(self, reader_id: int) -> None:
        """Give the reader's slot a new owner and epoch, without the lists.

        The old owner hears of it at once, unless it is cut off.
        """
        self.wait_for_move()
        slot = self._slot(reader_id)
        source, target = sorted(self.nodes, key=lambda node: slot not in node.has())
        if target is not self._cut and slot not in target.has():
            target.seize(slot, source)
            self._moved.add(slot)
            if not self._cut:
                wait_until(self.agrees, pause_seconds=0.002)

    def agrees(self) -> bool:
        """Return whether both nodes know the same epochs, and each slot has one owner."""
        epochs = [sorted(words[6] for words in node.known().values()) for node in self.nodes]
        one, two = (node.has() for node in self.nodes)
        return epochs[0] == epochs[1] and not one & two and len(one | two) == SLOTS

    def settle(self) -> None:
        """Let the nodes hear of each other, and wait until they agree."""
        self.wait_for_move()
        if self._cut:
            self._cut.ask("DEBUG", "DROP-CLUSTER-PACKET-FILTER", NO_PACKETS)
            self._cut = None
            for node, other in (self.nodes, self.nodes[::-1]):
                node.ask("DEBUG", "CLUSTERLINK", "KILL", "ALL", other.id)
        wait_until(self.agrees, pause_seconds=0.005)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
