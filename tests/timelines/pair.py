"""Two Valkeys, of which each can be the primary, and processes that reach one or the other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from django.test import override_settings

from tests.stack import wait_until
from tests.timelines.machine import Valkey
from twit.local.net import LOOPBACK

NOWHERE = 1  # a port on which nothing listens


class Node(Valkey):
    """A Valkey that can follow another one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)

    def start(self) -> None:
        super().start()
        self.client: redis.Redis = redis.Redis.from_url(self.url, protocol=2)
        self.client.config_set("masterauth", "tests")
        # A replica then has a copy of everything within 10 ms. By default it waits for timers.
        self.client.config_set("repl-diskless-sync", "no")
        self.client.config_set("repl-diskless-load", "swapdb")
        self.client.config_set("hz", 500)

    def follow(self, primary: "Node") -> None:
        """Become a replica of the primary, and get all that it has."""
        self.client.replicaof(LOOPBACK, primary.port)
        wait_until(lambda: self.is_linked() and primary.sends(), pause_seconds=0.001)
        self.catch_up(primary)

    def catch_up(self, primary: "Node") -> None:
        """Wait until nothing is on its way from the primary."""
        wait_until(lambda: self.offset() == primary.offset(), pause_seconds=0.001)

    def lose_primary(self) -> None:
        """Stay a replica with the data of now."""
        self.client.replicaof(LOOPBACK, NOWHERE)

    def promote(self) -> None:
        self.client.replicaof("NO", "ONE")

    def says(self) -> dict[str, Any]:
        """Return what it says of its role."""
        return dict(self.client.info("replication"))

    def offset(self) -> int:
        said = self.says()
        return int(said.get("slave_repl_offset", said["master_repl_offset"]))

    def sends(self) -> bool:
        """Return whether it sends what is written to a replica."""
        return bool(self.says().get("slave0", {}).get("state") == "online")

    def is_linked(self) -> bool:
        return bool(self.says().get("master_link_status") == "up")

    def is_primary(self) -> bool:
        return bool(self.says()["role"] == "master")

    def stop(self) -> None:
        self.client.close()
        self.thaw()
        self.child.stop()


class Pair:
    """Two nodes behind one address. Connections that are open stay where they are.

    For this process each node has a URL of its own. It acts as one of many processes: a new one
    reaches the node at `place` 0, an old one may still be connected to the node at place 1.
    """

    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder / "one"), Node(folder / "two")]

    def reset(self) -> None:
        """Make both nodes empty primaries without snapshots."""
        for node in self.nodes:
            node.promote()
            node.client.flushall()
            node.snapshot.unlink(missing_ok=True)

    @contextmanager
    def seen_from(self, place: int) -> Iterator[None]:
        """Act as a process that is connected to the node at that place."""
        url = self.nodes[place].url
        with override_settings(REDIS_URL=url, LIMITS_URL=url):
            yield

    def clients(self, place: int) -> Sequence[redis.Redis]:
        """Return clients for the node at that place."""
        return [self.nodes[place].client]

    def lead_elsewhere(self) -> None:
        """Let new connections lead to the other node."""
        self.nodes.reverse()

    def promote(self, place: int) -> None:
        """Promote a replica. If it is linked, it has what its primary has, unless that froze."""
        node, other = self.nodes[place], self.nodes[1 - place]
        if not other.is_frozen and other.is_primary() and node.is_linked():
            node.catch_up(other)
        node.promote()

    def follow(self, place: int) -> None:
        """Make the node a replica of the other one, if that is a primary."""
        node, other = self.nodes[place], self.nodes[1 - place]
        if other.is_primary():
            node.follow(other)

    def lose_primary(self, place: int) -> None:
        """Cut a replica off from its primary."""
        if not self.nodes[place].is_primary():
            self.nodes[place].lose_primary()

    def restart(self, place: int, *, from_snapshot: bool) -> None:
        """Kill a node and start it as a primary. Its replica has lost it."""
        self.lose_primary(1 - place)
        self.nodes[place].client.close()
        self.nodes[place].restart(from_snapshot=from_snapshot)

    def settle(self) -> None:
        """Make the node at place 0 a primary."""
        self.promote(0)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
