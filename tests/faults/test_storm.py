"""A storm is a random fault every 2 to 4 s for a minute.

TWIT_STORMS sets the number of storms. The number of a storm is its random seed.
"""

import os
import random
import time

import pytest

from tests.faults.cluster import STORM_FAULTS, USERS, Cluster
from tests.faults.conftest import Report
from tests.faults.load import Clients, compare

STORMS = int(os.environ.get("TWIT_STORMS", "1"))
STORM_SECONDS = 60


@pytest.mark.parametrize("seed", range(STORMS))
def test_a_storm_loses_nothing(cluster: Cluster, seed: int, report: Report) -> None:
    rng = random.Random(seed)
    clients = Clients(cluster, USERS, seed)
    with clients.at_work() as oracle:
        end = time.monotonic() + STORM_SECONDS
        while time.monotonic() < end:
            time.sleep(rng.uniform(2, 4))
            rng.choice(STORM_FAULTS)(cluster)
        seconds = cluster.wait_until_delivered()
    cluster.wait_until_delivered()
    report(f"storm {seed}", oracle, seconds)
    compare(cluster, oracle, range(1, USERS + 1))
