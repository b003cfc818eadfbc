"""Which server answered: its identity, asked together with each read or push.

An identity that was asked when connecting is not enough. An idle connection outlives a
demotion, and a proxy may lead new connections elsewhere.
"""

from collections.abc import Sequence
from typing import TypeAlias

from backends.valkey import Command, Reply

# The `master_replid` of a primary, which is new after each start and each promotion. In a cluster
# also `cluster_my_epoch`, which rises when the node takes over a slot. A replica's is NONE. No
# identity recurs. With Valkey 9 it takes 1.4 us, in a cluster 5.5 us.
Identity: TypeAlias = str
NONE: Identity = ""

OF_ONE: Sequence[Command] = (("INFO", "replication"),)
OF_A_NODE: Sequence[Command] = (*OF_ONE, ("CLUSTER", "INFO"))

OF_A_PRIMARY = b"# Replication\r\nrole:master\r\n"


def parse(replies: Sequence[Reply]) -> Identity:
    """Return the identity, from the replies to OF_ONE or OF_A_NODE."""
    info = replies[0]
    assert isinstance(info, bytes)
    if not info.startswith(OF_A_PRIMARY):
        return NONE
    found = _field(info, b"master_replid:")
    if len(replies) == 1:
        return found
    return f"{found}:{_field(replies[1], b'cluster_my_epoch:')}"


def _field(info: Reply, name: bytes) -> str:
    assert isinstance(info, bytes)
    start = info.index(name) + len(name)
    return info[start : info.index(b"\r", start)].decode()
