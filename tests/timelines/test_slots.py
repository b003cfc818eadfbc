"""Slots move between two primaries of a cluster, and no believed list lacks a delivered tweet.

In each history ben follows alyssa. It is told with all guards, and without the one it is about.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest.mock import patch

import pytest

from backends import nodes
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.timelines.lists import admit, all_pages, deliver_all, page, query
from tests.timelines.shards import Shards
from tests.timelines.test_failover import Mutation
from timelines.delivery import admitting
from timelines.reading import hydration
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


class Scene(NamedTuple):
    shards: Shards
    ben: User
    alyssa: User

    def alyssa_posts(self) -> None:
        """Post, and let a process that knows both nodes deliver the tweet."""
        TweetFactory.create(author=self.alyssa)
        with self.shards.seen_from(0):
            deliver_all()

    def ben_reads(self) -> list[int]:
        """Read with a process that asked the nodes once, and then only if one refused it."""
        with self.shards.seen_from(1):
            return all_pages(self.ben, limit=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shards]:
    shards = Shards(tmp_path_factory.mktemp("shards"))
    yield shards
    shards.stop()


@pytest.fixture
def scene(transactional_db: None, shards: Shards) -> Iterator[Scene]:
    ben, alyssa = (UserFactory.create(username=name) for name in ("ben", "alyssa"))
    FollowFactory.create(follower=ben, followed=alyssa)
    shards.reset()
    with patch.object(nodes, "REFRESH_SECONDS", 0), shards.seen_from(0):
        admit()
        scene = Scene(shards, ben, alyssa)
        scene.ben_reads()
        yield scene


def the_old_owner_has_not_heard(scene: Scene) -> None:
    """Ben's reader and the node that it asks don't know that the slot has a new owner."""
    scene.shards.cut_off(scene.shards.place(scene.ben.pk))
    scene.shards.seize(scene.ben.pk)
    admitting.sweep()
    scene.alyssa_posts()


def the_slot_moves_there_and_back(scene: Scene) -> None:
    """The lists move along. Each new owner is admitted."""
    for _ in range(2):
        scene.shards.move(scene.ben.pk)
        scene.shards.wait_for_move()
        admitting.sweep()
        scene.alyssa_posts()
        page(scene.ben)


def any_slot_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe the lists of a server that is admitted for other slots."""
    everywhere = hydration.HYDRATE
    for guard, instead in (
        ("SELECT generation FROM", "SELECT max(generation) FROM"),
        ("$5 BETWEEN first_slot AND last_slot", "$5::int IS NOT NULL"),
    ):
        assert everywhere.count(guard) == 1
        everywhere = everywhere.replace(guard, instead)
    monkeypatch.setattr(hydration, "HYDRATE", everywhere)


History = Callable[[Scene], None]
HISTORIES: list[History] = [the_old_owner_has_not_heard, the_slot_moves_there_and_back]
GUARDS: list[tuple[History, Mutation]] = [(the_old_owner_has_not_heard, any_slot_is_admitted)]


@pytest.mark.parametrize("history", HISTORIES)
def test_with_all_guards_nothing_is_lost(scene: Scene, history: History) -> None:
    history(scene)
    assert scene.ben_reads() == query(scene.ben)
    scene.shards.settle()
    assert scene.ben_reads() == query(scene.ben)


@pytest.mark.parametrize(("history", "mutation"), GUARDS)
def test_without_its_guard_a_history_loses_a_tweet(
    scene: Scene, history: History, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    history(scene)
    assert set(scene.ben_reads()) < set(query(scene.ben))
