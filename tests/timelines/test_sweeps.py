"""Sweeps: a worker process finds work that no wake-up was sent for."""

import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from backends.valkey import Unavailable
from tests.psql import psql
from tests.stack import wait_until
from timelines.delivery import flags, rounds, sweeps
from timelines.delivery.sweeps import Sweeper
from timelines.models import FanOut, Sighting
from timelines.signs import sweep_of_this_host
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    sweeper = Sweeper()
    sweeper.start()
    yield sweeper
    sweeper.stop()


def post_by_hand(author: User) -> None:
    psql(f"INSERT INTO tweets_tweet (author_id, message) VALUES ({author.pk}, 'by hand')")


def test_a_sweep_delivers_a_tweet_that_was_written_by_sql(ben: User) -> None:
    post_by_hand(ben)
    assert FanOut.objects.exists()
    sweeper = Sweeper()
    sweeper.start()
    wait_until(lambda: not FanOut.objects.exists())
    sweeper.stop()


@pytest.mark.parametrize("error", [Unavailable("no"), ValueError("a defect")])
def test_a_sweep_that_fails_is_followed_by_another(
    ben: User, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failures = [error]
    drain = rounds.drain

    def fail_once(seconds: float) -> bool:
        if failures:
            raise failures.pop()
        return drain(seconds)

    monkeypatch.setattr(rounds, "drain", fail_once)
    sweeper = Sweeper()
    sweeper.start()
    post_by_hand(ben)
    wait_until(lambda: not FanOut.objects.exists())
    assert not failures
    sweeper.stop()


def test_deliveries_do_not_depend_on_the_sweep_of_flags(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(flags, "sweep", fail)
    sweeper = Sweeper()
    sweeper.start()
    post_by_hand(ben)
    wait_until(lambda: not FanOut.objects.exists())
    sweeper.stop()


def test_a_backlog_longer_than_a_share_is_worked_off_without_a_pause(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "SHARE_SECONDS", 0.0)
    monkeypatch.setattr(sweeps, "SWEEP_SECONDS", 3600.0)
    monkeypatch.setattr(rounds.run_round, "__defaults__", (1, 65_536))  # a row per round
    for _ in range(5):
        post_by_hand(ben)
    sweeper = Sweeper()
    sweeper.start()
    wait_until(lambda: not FanOut.objects.exists())
    sweeper.stop()


def test_a_sweep_is_recorded_for_its_host_now_and_then(sweeper: Sweeper, ben: User) -> None:
    here = Sighting.objects.filter(identity=sweep_of_this_host())
    wait_until(here.exists)
    first = here.get().seen_at
    post_by_hand(ben)
    wait_until(lambda: not FanOut.objects.exists())
    assert here.get().seen_at == first


def test_a_sweep_that_fails_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def fail(seconds: float) -> bool:
        failed.set()
        raise Unavailable("no")

    monkeypatch.setattr(rounds, "drain", fail)
    sweeper = Sweeper()
    sweeper.start()
    assert failed.wait(30)
    sweeper.stop()
    assert not Sighting.objects.filter(identity=sweep_of_this_host()).exists()
