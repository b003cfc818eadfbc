"""A network of the test's own, whose firewall can lose packets."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RESERVED_PORTS = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """The firewall of a network namespace. Only its loopback exists."""

    def __init__(self) -> None:
        _run("ip", "link", "set", "lo", "up")
        _run("nft", "add table inet faults")
        _run("nft", "add chain inet faults in { type filter hook input priority 0; }")

    def lose(self, percent: int) -> None:
        """Drop that share of all packets."""
        _run("nft", f"add rule inet faults in numgen random mod 100 < {percent} drop")

    def forget(self, port: int) -> None:
        """Drop all packets of the connections that are open to that port. New ones are fine."""
        listed = _run("ss", "-tnH", "state", "established", f"( dport = :{port} )")
        clients = {line.split()[2].rpartition(":")[2] for line in listed.splitlines()}
        if clients:
            ports = f"{{ {', '.join(clients)} }}"
            RESERVED_PORTS.write_text(",".join(clients))  # new connections must not get them
            _run("nft", f"add rule inet faults in tcp dport {port} tcp sport {ports} drop")
            _run("nft", f"add rule inet faults in tcp sport {port} tcp dport {ports} drop")

    def heal(self) -> None:
        """Let all packets through again."""
        _run("nft", "flush chain inet faults in")


@contextmanager
def own_network() -> Iterator[Network]:
    """Move this thread, and all processes that it starts, into a network of their own."""
    missing = [name for name in ("ip", "nft", "ss") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"a network of its own needs root and {' '.join(missing) or 'Linux'}")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        yield Network()
    finally:
        _check(_libc.setns(home, CLONE_NEWNET))
        os.close(home)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
