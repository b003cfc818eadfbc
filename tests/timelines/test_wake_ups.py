"""The task that works on the outbox, and the wake-ups that start it."""

from typing import Any

import pytest
from amqp import AccessRefused

from backends.valkey import Unavailable
from tests.stack import wait_until
from tests.timelines.lists import add_followers, deliver_all, listed
from tests.valkey import client
from timelines.delivery import rounds, tasks
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "celery"


@pytest.fixture(autouse=True)
def _quiet(ben: User) -> None:
    """Begin with an empty queue and no wake-up under way."""
    deliver_all()
    client().flushdb()


def load(author: User, count: int) -> list[int]:
    """Create tweets that send no wake-up."""
    tweets = Tweet.objects.bulk_create(Tweet(author=author, message="hi") for _ in range(count))
    return [tweet.pk for tweet in tweets]


def a_wake_up_is_queued() -> bool:
    return client().llen(QUEUE) > 0


def worker_takes_the_wake_up() -> None:
    """Run the task as a worker does that has fetched its message."""
    client().delete(QUEUE)
    tasks.fan_out()


def test_the_task_delivers_what_is_due(ben: User) -> None:
    [reader] = add_followers(ben, 1)
    posted = load(ben, 3)
    tasks.fan_out()
    assert listed(reader) == posted[::-1]
    assert not a_wake_up_is_queued()


def test_a_tweet_posted_while_the_task_ends_sends_a_wake_up(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.wake()
    wait_until(a_wake_up_is_queued)
    drain = rounds.drain

    def drain_and_then_post(seconds: float, **share: Any) -> bool:
        has_more = drain(seconds, **share)
        load(ben, 1)
        tasks.wake()
        return has_more

    monkeypatch.setattr(rounds, "drain", drain_and_then_post)
    worker_takes_the_wake_up()
    wait_until(a_wake_up_is_queued)


def test_what_is_left_after_a_tasks_share_gets_another_task(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SHARE_SECONDS", 0)
    load(ben, 2 * rounds.ROUND_ROWS)
    runs = 0
    tasks.wake()
    while FanOut.objects.exists():
        wait_until(a_wake_up_is_queued)
        worker_takes_the_wake_up()
        runs += 1
    assert runs == 2


def test_a_lost_wake_up_does_not_stop_later_ones(ben: User) -> None:
    tasks.wake()
    wait_until(a_wake_up_is_queued)
    client().delete(QUEUE)

    def another_is_sent() -> bool:
        tasks.wake()
        return a_wake_up_is_queued()

    wait_until(another_is_sent, seconds=10, pause_seconds=0.2)


def test_a_broker_that_refuses_the_password_makes_wake_ups_unavailable(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise AccessRefused("a password")

    monkeypatch.setattr(tasks.fan_out, "delay", refuse)
    with pytest.raises(Unavailable):
        tasks.wake()
