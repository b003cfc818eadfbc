"""The servers that share the slots: one server with all of them, or the primaries of a cluster."""

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from typing import NamedTuple, TypeAlias, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from backends import identity
from backends.address import is_cluster, parse_cluster
from backends.identity import Identity
from backends.servers import Connect, Server, server_at
from backends.slots import ALL, SLOTS, Slots, slot_of, stable
from backends.valkey import Command, Connection, Unavailable

REFRESH_SECONDS = 1.0  # between two looks at a cluster's layout
LEARN_SECONDS = 0.3  # after this no further node is asked, because a request may be waiting

# A row of CLUSTER SLOTS: the first slot, the last slot, then the primary and its replicas.
_Row: TypeAlias = "tuple[int, int, tuple[bytes | None, int, bytes, list[bytes]]]"


class Primary(NamedTuple):
    """What a primary says of itself. `slots` leaves out those that are being migrated with ASK."""

    address: str
    identity: Identity
    epoch: int
    slots: Sequence[Slots]


class Nodes:
    """One server, which holds all slots. Its address is that of the URL, written as ""."""

    is_cluster = False
    asks_identity: Sequence[Command] = identity.OF_ONE

    def __init__(self, url: str, connect: Connect = Connection) -> None:
        self._url, self._connect = url, connect

    def slot(self, number: int) -> int:
        """Return the slot of the keys with that number as their hash tag: always 0."""
        return 0

    def server(self, address: str) -> Server:
        """Return the server at that address."""
        return server_at(self._url, self._connect)

    def address(self, slot: int) -> str:
        """Return the address of the slot's primary. Raises Unavailable."""
        return ""

    def connection(self, slot: int) -> AbstractContextManager[Connection]:
        """Return a context with this thread's connection to the slot's primary.

        It raises Unavailable.
        """
        return self.server("").connection()

    def addresses(self) -> Sequence[str]:
        """Return the addresses of all primaries that are known. Raises Unavailable."""
        return [""]

    def look(self, address: str) -> Primary | None:
        """Return what the server says of itself, None if it is a replica. Raises Unavailable."""
        with self.server(address).connection() as connection:
            found = identity.parse(connection.ask(*self.asks_identity))
        return Primary(address, found, 0, [ALL]) if found else None


class Cluster(Nodes):
    """A Valkey Cluster. Each process learns by itself which primary has which slots."""

    is_cluster = True
    asks_identity = identity.OF_A_NODE

    def __init__(self, url: str, connect: Connect = Connection) -> None:
        self._seeds = parse_cluster(url)
        self._connect = connect
        self._servers: dict[str, Server] = {}
        self._owners: Mapping[Slots, str] = {}
        self._by_slot: list[str] = []
        self._lock = threading.Lock()
        self._is_stale, self._refresh_at = True, 0.0  # monotonic

    def slot(self, number: int) -> int:
        """Return the slot of the keys with that number as their hash tag."""
        return slot_of(number)

    def server(self, address: str) -> Server:
        """Return the server at that address, "host:port"."""
        server = self._servers.get(address)
        if server is None:
            host, _, port = address.rpartition(":")
            at = self._seeds[0]._replace(host=host, port=int(port))
            server = self._servers.setdefault(address, Server(at, self._connect))
        return server

    def address(self, slot: int) -> str:
        """Return the address of the slot's primary. Raises Unavailable."""
        self._refresh()
        if not self._by_slot[slot]:
            self._is_stale = True
            raise Unavailable(f"no primary has slot {slot}")
        return self._by_slot[slot]

    @contextmanager
    def connection(self, slot: int) -> Iterator[Connection]:
        """Yield this thread's connection to the slot's primary. Raises Unavailable.

        After any failure, the layout is looked at again: the slot may have moved.
        """
        address = self.address(slot)
        try:
            with self.server(address).connection() as connection:
                yield connection
        except Unavailable:
            self._is_stale = True
            raise

    def addresses(self) -> Sequence[str]:
        """Return the addresses of all primaries, as of now if possible. Raises Unavailable."""
        self._is_stale = True
        self._refresh()
        return sorted(set(self._owners.values()))

    def look(self, address: str) -> Primary | None:
        """Return what the node says of itself, None if it is a replica. Raises Unavailable."""
        commands: Sequence[Command] = (("MULTI",), *self.asks_identity, ("CLUSTER", "NODES"))
        with self.server(address).connection() as connection:
            *_, replies = connection.ask(*commands, ("EXEC",))
        assert isinstance(replies, list)
        *said, nodes = replies
        found = identity.parse(said)
        if not found:
            return None
        me = next(line for line in cast(bytes, nodes).decode().splitlines() if "myself" in line)
        # id, address, flags, primary, ping, pong, epoch, link, slots
        slots = list(stable(me.split()[8:]))
        return Primary(address, found, int(found.rpartition(":")[2]), slots)

    def _refresh(self) -> None:
        """Learn the layout, if it is not known or a failure made it doubtful. Raises Unavailable.

        One thread does so. The others use the known layout meanwhile.
        """
        if not self._is_stale or not self._lock.acquire(blocking=not self._by_slot):
            return
        try:
            if not self._is_stale or time.monotonic() < self._refresh_at:
                return
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
            self._learn()
        finally:
            self._lock.release()
            if not self._by_slot:
                raise Unavailable("no node of the cluster answers")

    def _learn(self) -> None:
        """Ask nodes for the layout, in random order: one that is cut off knows an old layout."""
        deadline = time.monotonic() + LEARN_SECONDS
        known = {*self._owners.values(), *(f"{seed.host}:{seed.port}" for seed in self._seeds)}
        for address in random.sample(sorted(known), len(known)):
            with suppress(Unavailable), self.server(address).connection() as connection:
                [rows] = connection.ask(("CLUSTER", "SLOTS"))
                return self._set_owners(address, cast("list[_Row]", rows))
            if time.monotonic() > deadline:
                return None
        return None

    def _set_owners(self, asked: str, rows: Sequence[_Row]) -> None:
        owners: dict[Slots, str] = {}
        by_slot = [""] * SLOTS
        for first, last, (host, port, *_), *_ in rows:
            owner = f"{host.decode() if host else asked.rpartition(':')[0]}:{port}"
            owners[Slots(first, last)] = owner
            by_slot[first : last + 1] = [owner] * (last + 1 - first)
        self._owners, self._by_slot, self._is_stale = owners, by_slot, False


@cache
def nodes_at(url: str, connect: Connect = Connection) -> Nodes:
    """Return the process's one Nodes for that URL. Raises ValueError."""
    return Cluster(url, connect) if is_cluster(url) else Nodes(url, connect)


def nodes(connect: Connect = Connection) -> Nodes:
    """Return the servers that REDIS_URL names. Raises ImproperlyConfigured if it names none.

    `connect` makes their connections.
    """
    if not settings.REDIS_URL:
        raise ImproperlyConfigured(settings.NO_SERVERS)
    return nodes_at(settings.REDIS_URL, connect)
