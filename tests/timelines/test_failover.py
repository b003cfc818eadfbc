"""A primary and its replica change roles, and no believed list lacks a delivered tweet.

Each history is told twice: with all guards, and without the one that it is about. In each, ben
follows alyssa. Readers and the worker reach Valkey through one address, behind which a proxy leads
new connections to one of two servers. Connections that are open stay where they are.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import ANY

import pytest
from django.db import connections
from django.test import override_settings

from backends.nodes import nodes
from backends.valkey import Unavailable
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.proxy import Proxy
from tests.timelines.lists import admit, all_pages, deliver_all, page, query
from tests.timelines.pair import Node
from tests.timelines.test_guards import any_server_is_admitted, one_generation
from timelines.delivery.rounds import run_round
from timelines.lists import changes
from timelines.models import FanOut
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


class Worker:
    """Another thread, so that it has its own connections. It keeps them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    def works(self) -> None:
        """Run a round."""
        self._thread.submit(self._round).result()

    def _round(self) -> None:
        with suppress(Unavailable):
            run_round()

    def stop(self) -> None:
        self._thread.submit(connections.close_all).result()
        self._thread.shutdown()


class Scene(NamedTuple):
    one: Node
    two: Node
    proxy: Proxy
    worker: Worker
    ben: User
    alyssa: User

    def lead_to(self, node: Node) -> None:
        """Let new connections of this thread lead there."""
        self.proxy.target = node.port
        nodes().server("")._thread.connection = None

    def fail_over(self, old: Node, new: Node) -> None:
        """Exchange the roles. Readers reach the new primary, and a worker admits it."""
        new.promote()
        old.follow(new)
        self.lead_to(new)
        admit()


@pytest.fixture
def scene(tmp_path: Path, transactional_db: None) -> Iterator[Scene]:
    ben, alyssa = (UserFactory.create(username=name) for name in ("ben", "alyssa"))
    FollowFactory.create(follower=ben, followed=alyssa)
    one, two = Node(tmp_path / "one"), Node(tmp_path / "two")
    two.follow(one)
    proxy, worker = Proxy(one.port), Worker()
    url = proxy.url(one.url)
    with override_settings(REDIS_URL=url, LIMITS_URL=url):
        admit()
        yield Scene(one, two, proxy, worker, ben, alyssa)
    worker.stop()
    proxy.close()
    for node in (one, two):
        node.stop()


def the_brain_is_split(scene: Scene) -> None:
    """A frozen primary is replaced. It thaws, and takes a push over an old connection."""
    TweetFactory.create(author=scene.alyssa)
    scene.worker.works()
    scene.one.freeze()
    scene.two.promote()
    scene.lead_to(scene.two)
    admit()
    page(scene.ben)
    scene.one.thaw()
    TweetFactory.create(author=scene.alyssa)
    scene.worker.works()


def the_address_leads_elsewhere(scene: Scene) -> None:
    """Readers reach the new primary, a worker's open connection the old one, which still lives."""
    page(scene.ben)
    TweetFactory.create(author=scene.alyssa)
    scene.worker.works()
    scene.two.promote()
    scene.lead_to(scene.two)
    admit()
    page(scene.ben)
    TweetFactory.create(author=scene.alyssa)
    scene.worker.works()


def it_fails_over_and_back_three_times(scene: Scene) -> None:
    """No server restarts. What is delivered to one never reaches the other."""
    for _ in range(3):
        for old, new in ((scene.one, scene.two), (scene.two, scene.one)):
            page(scene.ben)
            new.promote()  # before the delivery, so it misses that
            TweetFactory.create(author=scene.alyssa)
            deliver_all()
            scene.lead_to(new)
            admit()
            assert page(scene.ben) == query(scene.ben)
            old.follow(new)


def a_connection_outlives_a_demotion(scene: Scene) -> None:
    """A primary is demoted and promoted again, while a reader's connection idles."""
    page(scene.ben)
    scene.two.catch_up(scene.one)
    scene.two.promote()
    TweetFactory.create(author=scene.alyssa)
    deliver_all()
    scene.one.follow(scene.two)  # and loses the delivery
    scene.one.promote()


def any_push_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count what any server took, whether or not it is the admitted one."""
    monkeypatch.setattr(changes, "identity", SimpleNamespace(parse=lambda _: ANY))


History = Callable[[Scene], None]
Mutation = Callable[[pytest.MonkeyPatch], None]
GUARDS: list[tuple[History, Mutation]] = [
    (the_brain_is_split, any_push_counts),
    (the_address_leads_elsewhere, any_push_counts),
    (it_fails_over_and_back_three_times, one_generation),
    (a_connection_outlives_a_demotion, any_server_is_admitted),
]


@pytest.mark.parametrize("history", [history for history, _ in GUARDS])
def test_with_all_guards_nothing_is_lost(scene: Scene, history: History) -> None:
    history(scene)
    for _ in range(2):
        assert all_pages(scene.ben, limit=2) == query(scene.ben)
        admit()
        deliver_all()
    assert not FanOut.objects.exists()


@pytest.mark.parametrize(("history", "mutation"), GUARDS)
def test_without_its_guard_a_history_loses_a_tweet(
    scene: Scene, history: History, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        history(scene)
        assert all_pages(scene.ben, limit=2) == query(scene.ben)
