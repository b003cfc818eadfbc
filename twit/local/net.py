"""Ports of this machine."""

import socket

LOOPBACK = "127.0.0.1"


def free_port(wanted: int = 0) -> int:
    """`wanted` if it can be listened on, else any free port of the loopback interface."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
            except OSError:
                if port == 0:
                    raise
                continue
            return int(listener.getsockname()[1])
    raise AssertionError("unreachable")
