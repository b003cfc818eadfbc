"""Free ports."""

import errno
import os
import secrets
import socket

from twit.values import MAX_PORT

LOOPBACK = "127.0.0.1"
# Systems take the source ports of connections from higher ones by default. A port that is free now
# might otherwise be in use by the time a server listens on it.
PORTS = range(10_240, 32_768)
_given: set[int] = set()  # servers may listen on these soon


def free_port(wanted: int = 0) -> int:
    """Return `wanted` if this process can listen on it, else any free port of the loopback.

    No other port is returned twice.
    """
    port = wanted
    while not port or not _is_free(port):
        port = secrets.choice([port for port in PORTS if port not in _given])
    _given.add(port)
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            return False
    return True


def metrics_ports(port: int) -> dict[str, str]:
    """Return the variables that serve metrics, with free ports after `port` unless they are set.

    They are not published for other commands: a second worker needs a port of its own.
    """
    names = enumerate(("TWIT_METRICS_WEB", "TWIT_METRICS_WORKER"), start=port + 1)
    return {
        name: os.environ.get(name) or str(free_port(after % (MAX_PORT + 1)))
        for after, name in names
    }
