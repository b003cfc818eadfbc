"""A TCP proxy that can be slow, freeze, cut or lose connections, and lead new ones elsewhere."""

import socket
import threading
import time
from contextlib import suppress

from twit.local.net import LOOPBACK

CHUNK_BYTES = 65_536


class Proxy:
    """Relays connections from `port` to the port `target` of the loopback, until it is closed."""

    def __init__(self, target: int, *, delay_seconds: float = 0.0) -> None:
        self.target, self.delay_seconds = target, delay_seconds
        self._era = 0  # of connections; those of earlier ones are forgotten
        self._flows = threading.Event()
        self._flows.set()
        self._is_cut = False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """Return the URL with the proxy's port instead of the target's."""
        return url.replace(f"{LOOPBACK}:{self.target}", f"{LOOPBACK}:{self.port}")

    def forget(self) -> None:
        """Drop what is sent over the connections of now, as a firewall that forgot them does."""
        self._era += 1

    def freeze(self) -> None:
        """Hold back what is sent over old and new connections, until `heal`."""
        self._flows.clear()

    def cut(self) -> None:
        """Close all connections, and new ones at once, until `heal`."""
        self._is_cut = True
        for end in tuple(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """Work as if nothing had happened."""
        self._is_cut = False
        self._flows.set()

    def close(self) -> None:
        self.heal()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._flows.wait()
        if self._is_cut:
            client.close()
            return
        with client, suppress(OSError), socket.create_connection((LOOPBACK, self.target)) as server:
            ends = {client, server}
            self._open |= ends
            if not self._is_cut:  # meanwhile
                back = threading.Thread(target=self._relay, args=(server, client), daemon=True)
                back.start()
                self._relay(client, server)
                back.join()
            self._open -= ends

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        era = self._era
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                time.sleep(self.delay_seconds)
                self._flows.wait()
                if era == self._era:
                    sink.sendall(data)
        while era != self._era:  # the other end hears of nothing
            if not self._is_open():
                break
            time.sleep(0.1)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_open(self) -> bool:
        return self._listener.fileno() != -1
