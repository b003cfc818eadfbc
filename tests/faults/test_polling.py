"""Twenty pollers and twenty streams miss nothing while servers fail.

TWIT_POLLING_SECONDS sets how long the random faults go on.
"""

import os
import random
import time

from tests.faults import cluster as faults
from tests.faults.cluster import USERS, Cluster, Fault
from tests.faults.conftest import Note, Report
from tests.faults.load import compare
from tests.faults.polling import PollingClients
from tests.stack import wait_until
from timelines.lists.store import list_key

SECONDS = float(os.environ.get("TWIT_POLLING_SECONDS", "60"))
BIG_FOLLOWERS = 30_000  # of user 1
# Users who never read. All follow user 1, and the first of them follows everybody.
FIRST = 1_001
FOLLOWERS = f"""
    WITH new AS (
        INSERT INTO users_user (
            id, username, password, first_name, last_name, email,
            is_superuser, is_staff, is_active, date_joined
        )
        SELECT i, 'user' || i, '!', '', '', '', false, false, true, now()
        FROM generate_series({FIRST}, {FIRST} + %s) AS i
        RETURNING id
    )
    INSERT INTO users_follow (follower_id, followed_id)
    SELECT id, 1 FROM new UNION ALL SELECT {FIRST}, generate_series(2, {USERS})
"""


def deliveries_fail(cluster: Cluster, seconds: float = 1.5) -> None:
    """Put a key of another type in the place of a list for a while. Nobody reads it."""
    with cluster.redis() as server:
        server.set(list_key(FIRST), "no list")
        wait_until(lambda: cluster.sql("SELECT 1 FROM timelines_fanout WHERE attempts > 0"))
        time.sleep(seconds)
        server.delete(list_key(FIRST))


FAULTS: list[Fault] = [
    *(faults.worker_killed, faults.postgres_killed, faults.web_killed, deliveries_fail),
    *(faults.valkey_emptied, faults.frozen_briefly, faults.stopped_briefly, faults.full_briefly),
]


def wait_until_all_is_delivered(cluster: Cluster) -> float:
    """Wait for the rows that failed too. Return the seconds that it took."""
    started = time.monotonic()
    wait_until(lambda: not cluster.sql("SELECT 1 FROM timelines_fanout LIMIT 1"), 120)
    return time.monotonic() - started


def test_clients_see_every_tweet_under_faults(cluster: Cluster, report: Report, note: Note) -> None:
    cluster.sql(FOLLOWERS, BIG_FOLLOWERS)
    rng = random.Random(1)
    clients = PollingClients(cluster, USERS)
    with clients.at_work() as oracle:
        end = time.monotonic() + SECONDS
        left: list[Fault] = []
        while time.monotonic() < end:
            time.sleep(rng.uniform(1, 4))
            left = left or rng.sample(FAULTS, len(FAULTS))
            clients.leaves_gaps = time.monotonic() > end - SECONDS / 2
            left.pop()(cluster)
    seconds = wait_until_all_is_delivered(cluster)
    report("polling", oracle, seconds)
    polled, streamed = clients.check_pollers(), clients.check_streams()
    note(f"polling: {polled}")
    note(f"streams, after {clients.disconnections} disconnections: {streamed}")
    compare(cluster, oracle, range(1, USERS + 1, 10))
    assert min(polled.given, streamed.given) > 1_000
    assert streamed.repeated < streamed.given / 1_000
