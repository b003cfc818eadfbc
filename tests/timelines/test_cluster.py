"""Timelines on a real cluster: slots move, nodes freeze and die, and pages equal the query.

Each of the readers follows alyssa. Their lists are spread over three nodes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.test import override_settings

from backends.nodes import nodes
from backends.slots import Slots
from backends.valkey import Unavailable
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.stack import wait_until
from tests.timelines.lists import admit, all_pages, deliver_all, page, query
from tests.timelines.test_guards import one_generation
from tests.valkeys import Node, Valkeys
from timelines.delivery import admitting, decision
from timelines.delivery.rounds import run_round
from timelines.explaining.explanation import explain
from timelines.lists import store
from timelines.models import Admission, ClockTimestamp, FanOut
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)
READERS = 24


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkeys]:
    cluster = Valkeys(tmp_path_factory.mktemp("cluster"), 3, node_timeout_ms=15_000)
    yield cluster
    cluster.stop()


class Scene:
    def __init__(self, valkeys: Valkeys) -> None:
        self.valkeys = valkeys
        self.alyssa = UserFactory.create(username="alyssa")
        self.readers = [FollowFactory.create(followed=self.alyssa).follower for _ in range(READERS)]

    def alyssa_posts(self) -> int:
        return int(TweetFactory.create(author=self.alyssa).pk)

    def read(self) -> None:
        """Compare each reader's pages with the query. Lists are rebuilt where that is needed."""
        for reader in self.readers:
            assert all_pages(reader, limit=2) == query(reader)

    def is_read_from_lists(self) -> bool:
        """Read, then return whether the next pages come from lists."""
        self.read()
        return all(believed(reader) for reader in self.readers)

    def of(self, node: Node) -> list[User]:
        """Return the readers whose lists the node holds."""
        slots = node.slots()
        return [
            reader
            for reader in self.readers
            if any(nodes().slot(reader.pk) in part for part in slots)
        ]


@pytest.fixture
def scene(valkeys: Valkeys, transactional_db: None) -> Iterator[Scene]:
    with override_settings(REDIS_URL=valkeys.url):
        admit()
        yield Scene(valkeys)
        for node in valkeys.nodes:
            node.thaw()
            node.ask("FLUSHALL")


def believed(reader: User) -> bool:
    """Return whether the next page of the reader comes from the list."""
    try:
        found = store.read(reader.pk, renew=False)
    except Unavailable:
        return False
    if found is None:
        return False
    row = Admission.objects.get(first_slot__lte=found.source.slot, last_slot__gte=found.source.slot)
    reader.refresh_from_db()
    return row.identity == found.source.identity and found.is_believed(
        reader.follows_version, row.generation
    )


def test_each_node_gets_its_share_and_is_admitted_for_its_slots(scene: Scene) -> None:
    rows = Admission.objects.order_by("first_slot")
    found = {Slots(row.first_slot, row.last_slot): row.address for row in rows}
    assert found == {part: node.address for node in scene.valkeys.nodes for part in node.slots()}
    scene.alyssa_posts()
    scene.read()
    scene.alyssa_posts()
    deliver_all()
    assert all(believed(reader) for reader in scene.readers)
    assert all(scene.of(node) for node in scene.valkeys.nodes)
    scene.read()


def test_slots_move_there_and_back(scene: Scene) -> None:
    one, two, _ = scene.valkeys.nodes
    scene.read()
    slot = nodes().slot(scene.of(one)[0].pk)
    slots = [Slots(slot, slot)]  # a primary that loses all of its slots becomes a replica
    for source, target in ((one, two), (two, one)):
        scene.alyssa_posts()
        deliver_all()
        scene.valkeys.move(source, target, slots)
        scene.alyssa_posts()
        assert run_round().failed == 1  # the source is still the admitted one
        scene.read()
        admit()
        scene.alyssa_posts()
        scene.read()
        FanOut.objects.update(next_attempt_at=ClockTimestamp())
        deliver_all()
        wait_until(scene.is_read_from_lists)


def test_the_lists_of_all_nodes_are_explained(scene: Scene) -> None:
    scene.read()
    tweet_id = scene.alyssa_posts()
    deliver_all()
    for node in scene.valkeys.nodes:
        reader = scene.of(node)[0]
        explained = explain(reader.pk, tweet_id)
        assert explained.answer == "Shown on page 1: it comes from the list."
        server = dict(explained.listed)["server"]
        assert server.startswith(f"slot {nodes().slot(reader.pk)}: {node.address} is admitted")
    node.freeze()
    assert explain(reader.pk).answer.startswith("Redis failed: ")


@contextmanager
def migrating(scene: Scene) -> Iterator[User]:
    """Migrate a reader's slot the old way, with ASK, and break that off. Yield the reader."""
    source, target, _ = scene.valkeys.nodes
    [reader, *_] = scene.of(source)
    slot = nodes().slot(reader.pk)
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
    admitting.sweep()
    try:
        yield reader
    finally:
        for node in (source, target):
            node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
        admitting.sweep()


def test_a_slot_that_moves_with_ask_has_no_admission_meanwhile(scene: Scene) -> None:
    scene.read()
    with migrating(scene) as reader:
        scene.alyssa_posts()
        deliver_all()  # nobody has to wait for this slot
        assert page(reader) == query(reader)
    scene.read()


def test_without_generations_a_move_that_was_broken_off_loses_a_tweet(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_generation(monkeypatch)
    scene.read()
    with migrating(scene):
        scene.alyssa_posts()
        deliver_all()
    with pytest.raises(AssertionError):
        scene.read()


def test_what_a_frozen_node_did_not_take_waits_in_a_row_of_its_own(scene: Scene) -> None:
    frozen = scene.valkeys.nodes[0]
    scene.read()
    tweet_id = scene.alyssa_posts()
    frozen.freeze()
    assert run_round().failed == 1
    [row] = FanOut.objects.all()
    assert [Slots(row.first_slot, row.last_slot)] == [Slots(0, 5460)]
    assert frozen.address in row.last_error
    for reader in scene.readers:
        assert page(reader) == query(reader)
    for _ in range(2):
        FanOut.objects.update(next_attempt_at=ClockTimestamp())
        assert run_round().failed == 1
    frozen.thaw()
    wait_until(lambda: _is_back(frozen))
    scene.valkeys.wait_until_agreed()  # on a busy machine they may have given each other up
    FanOut.objects.update(next_attempt_at=ClockTimestamp())
    deliver_all()
    others = set(scene.readers) - set(scene.of(frozen))
    for reader in others:  # once, although the row was claimed four times
        found = store.read(reader.pk, renew=False)
        assert found
        assert list(found.tweet_ids) == [tweet_id]
    scene.read()


def _is_back(node: Node) -> bool:
    try:
        return nodes().look(node.address) is not None
    except Unavailable:
        return False


def test_a_node_that_is_silent_for_long_holds_nobody_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision, "GONE_SECONDS", 1.0)
    scene.read()
    frozen = scene.valkeys.nodes[0]
    frozen.freeze()
    scene.alyssa_posts()
    run_round()
    assert FanOut.objects.count() == 1
    started = time.monotonic()
    while Admission.objects.exclude(identity="").count() > 2:
        admitting.sweep()
        assert time.monotonic() - started < 20
    FanOut.objects.update(next_attempt_at=ClockTimestamp())
    deliver_all()
    for reader in scene.readers:
        assert page(reader) == query(reader)
    frozen.thaw()
    wait_until(lambda: _is_back(frozen))
    admitting.sweep()
    wait_until(scene.is_read_from_lists)


def test_rows_that_were_set_aside_are_done_after_a_change_to_a_single_server(scene: Scene) -> None:
    frozen = scene.valkeys.nodes[2]
    scene.read()
    scene.alyssa_posts()
    frozen.freeze()
    assert run_round().failed == 1
    frozen.thaw()
    with override_settings(REDIS_URL=settings.BROKER_URL):
        admit()
        scene.read()
        FanOut.objects.update(next_attempt_at=ClockTimestamp())
        deliver_all()
        scene.read()
        scene.alyssa_posts()
        deliver_all()
        assert scene.is_read_from_lists()
