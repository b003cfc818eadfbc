"""Free ports."""

import socket

LOOPBACK = "127.0.0.1"


def free_port(wanted: int = 0) -> int:
    """Return `wanted` if this process can listen on it, else any free port of the loopback."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, wanted))
        except OSError:
            listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])
