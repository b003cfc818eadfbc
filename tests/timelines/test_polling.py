"""Twenty pollers and streams miss nothing while tweets are posted in any order.

tests/faults adds faults.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from tests.faults.polling import PollingClients
from tests.stack import Stack, wait_until
from tests.timelines.machine import small_ranges
from timelines.delivery import sweeps
from timelines.delivery.sweeps import Sweeper
from timelines.models import FanOut, Flag
from users.models import Follow, User

USERS = 24
SECONDS = 5
FOLLOWS = 8  # of each user, who all follow the first three users


@contextmanager
def delivering() -> Iterator[None]:
    """Deliver in two threads, to a few followers in each round. More than eight take long."""
    small = small_ranges(whole_followers=8, long_followers=8)
    with small, patch.object(sweeps, "SWEEP_SECONDS", 0.05):
        sweepers = [Sweeper(), Sweeper()]
        for sweeper in sweepers:
            sweeper.start()
        try:
            yield
        finally:
            for sweeper in sweepers:
                sweeper.stop()


@pytest.mark.slow
def test_without_faults_clients_see_every_tweet_and_hardly_any_twice(stack: Stack) -> None:
    ids = range(1, USERS + 1)
    User.objects.bulk_create(User(pk=pk, username=f"user{pk}") for pk in ids)
    pairs = [
        (a, b) for a, b in itertools.permutations(ids, 2) if b <= 3 or (b - a) % USERS <= FOLLOWS
    ]
    Follow.objects.bulk_create(Follow(follower_id=a, followed_id=b) for a, b in pairs)
    stack.start_web(processes=2)
    clients = PollingClients(stack, USERS)
    with delivering():
        with clients.at_work() as oracle:
            time.sleep(SECONDS / 2)
            wait_until(Flag.objects.exists)
            clients.leaves_gaps = True
            time.sleep(SECONDS / 2)
            wait_until(lambda: len(oracle.posted) > 200, 60)
        wait_until(lambda: not FanOut.objects.exists())
        polled, streamed = clients.check_pollers(), clients.check_streams()
    print(f"{len(oracle.posted)} tweets were posted; pollers: {polled}; streams: {streamed}")
    assert min(polled.given, streamed.given) > 1_000
    assert polled.repeated < polled.given / 100
    assert streamed.repeated < streamed.given / 100
