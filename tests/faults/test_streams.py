"""Clients that do not read their streams, or hardly, and streams while a cluster fails."""

import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.cluster import USERS, Cluster
from tests.faults.conftest import Note, Report
from tests.faults.load import compare
from tests.faults.polling import PollingClients
from tests.faults.test_polling import wait_until_all_is_delivered
from tests.faults.test_valkeys import (
    a_primary_hangs_for_a_moment,
    a_primary_is_killed,
    a_third_of_the_slots_moves,
    cluster,
    valkeys,
)
from tests.streamer import Streamer
from tests.valkeys import Valkeys
from twit.web.messages import UNREAD_SECONDS

__all__ = ["cluster", "valkeys"]  # fixtures
POSTS = """
    INSERT INTO tweets_tweet (author_id, message)
    SELECT 1, repeat('x', 280) FROM generate_series(1, %s)
"""
TWEETS, READER, IDLE = 30_000, 2, 500
MOST_SECONDS = UNREAD_SECONDS + 15  # the kernel's buffers take time to fill
MOST_GROWTH_MB = 150
ESTABLISHED = "01"


class Lazy(Streamer):
    """A client whose kernel keeps little for it."""

    def connect(self, host: str, port: int) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        made.connect((host, port))
        return made

    def is_cut_off(self) -> bool:
        """Return whether the server has closed its end. A client that does not read can't tell."""
        assert self.socket
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        ends = [_end(*self.socket.getpeername()), _end(*self.socket.getsockname())]
        return not any(line[1:4] == [*ends, ESTABLISHED] for line in lines)


def _end(host: str, port: int) -> str:
    """Return an address as Linux prints it."""
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


def memory_mb(cluster: Cluster) -> float:
    """Return what the processes of the web server take."""
    group = str(cluster.children["web"].process.pid)
    lines = subprocess.check_output(["ps", "-eo", "pgid=,rss="], text=True).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == group) / 1024


def test_clients_that_hardly_read_are_cut_off_and_take_little_memory(
    cluster: Cluster, note: Note
) -> None:
    cluster.sql("DELETE FROM users_follow")
    cluster.sql(f"INSERT INTO users_follow (follower_id, followed_id) VALUES ({READER}, 1)")
    cluster.sql(POSTS, TWEETS)
    wait_until_all_is_delivered(cluster)
    path = f"/tweets/followed/{READER}/stream?after=AA"
    with Streamer(cluster.address, path) as quick:
        quick.open().read_until(lambda: len(quick.given) == TWEETS, 120)
    before = memory_mb(cluster)
    idle = [Lazy(cluster.address, path).open() for _ in range(IDLE)]
    slow = Lazy(cluster.address, path).open()
    most, started = before, time.monotonic()
    while (
        not all(map(Lazy.is_cut_off, (slow, *idle))) and time.monotonic() - started < MOST_SECONDS
    ):
        slow.read(1, most_bytes=1)
        time.sleep(1)
        most = max(most, memory_mb(cluster))
    seconds = time.monotonic() - started
    note(
        f"streams that are not read: {most - before:.0f} MB for {IDLE}; a client that reads a byte "
        f"a second is cut off after {seconds:.0f} s"
    )
    for stream in (slow, *idle):
        assert stream.is_cut_off()
        stream.close()
    assert most - before < MOST_GROWTH_MB


def test_streams_miss_nothing_while_a_cluster_of_valkeys_fails(
    cluster: Cluster, valkeys: Valkeys, report: Report, note: Note
) -> None:
    clients = PollingClients(cluster, USERS, of_each=10)
    with clients.at_work() as oracle:
        for fault in (
            a_primary_hangs_for_a_moment,
            a_primary_is_killed,
            a_third_of_the_slots_moves,
        ):
            time.sleep(5)
            fault(valkeys)
        clients.leaves_gaps = True
        time.sleep(5)
    seconds = wait_until_all_is_delivered(cluster)
    report("streams, with a cluster", oracle, seconds)
    polled, streamed = clients.check_pollers(), clients.check_streams()
    note(f"a cluster: pollers: {polled}; streams: {streamed}")
    compare(cluster, oracle, range(1, USERS + 1, 10))
    assert streamed.repeated < streamed.given / 1_000
