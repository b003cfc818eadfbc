"""Every guard of the rebuild protocol is necessary: one history loses a tweet without it.

In each history ben follows alyssa, and ben reads at the end. With all guards, the pages equal the
query. Without the guard that the history is about, they lack a tweet.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from backends.script import Script
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.timelines.lists import (
    admit,
    all_pages,
    apply,
    deliver_all,
    generation,
    page,
    query,
    start_rebuild,
)
from tests.timelines.machine import Valkey, own_valkey, small_lists
from tests.valkey import client
from timelines.delivery import admitting
from timelines.lists import changes, store
from timelines.lists.listed import Doubt, Listed, Source
from timelines.lists.packing import Change
from timelines.lists.store import Begun, list_key, state_key
from timelines.models import Admission
from timelines.reading import hydration, pull
from timelines.reading.pull import Snapshot
from timelines.reading.rebuild import rebuild
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


class Scene(NamedTuple):
    ben: User
    alyssa: User
    louis: User
    valkey: Valkey

    def alyssa_posts(self, count: int = 1) -> None:
        """Post, and deliver to the lists that exist."""
        TweetFactory.create_batch(count, author=self.alyssa)
        deliver_all()


@pytest.fixture
def scene(tmp_path: Path, transactional_db: None) -> Iterator[Scene]:
    ben, alyssa, louis = (UserFactory.create(username=n) for n in ("ben", "alyssa", "louis"))
    FollowFactory.create(follower=ben, followed=alyssa)
    with own_valkey(tmp_path) as valkey, small_lists(cap=20, spacing=2):
        yield Scene(ben, alyssa, louis, valkey)


def a_rebuild_outlives_its_token(scene: Scene) -> None:
    """Guard: the token. A slow rebuild writes to the list that a second rebuild has started."""
    slow = start_rebuild(scene.ben.pk)
    scene.alyssa_posts()  # pushed onto the first list
    client().hset(state_key(scene.ben.pk), "busy_until", 0)
    assert store.begin_rebuild(scene.ben.pk)  # a second list, without that tweet
    slow.finish()


def a_follow_comes_after_the_rebuild(scene: Scene) -> None:
    """Guard: the version. The list was built from ben's earlier follows."""
    TweetFactory.create(author=scene.louis)
    deliver_all()
    page(scene.ben)
    FollowFactory.create(follower=scene.ben, followed=scene.louis)


def valkey_restarts_from_an_old_snapshot(scene: Scene) -> None:
    """Guard: the identity. The restored list and state are older than the delivery."""
    page(scene.ben)
    scene.valkey.take_snapshot()
    scene.alyssa_posts()
    scene.valkey.restart(from_snapshot=True)


def valkey_restarts_and_is_admitted_again(scene: Scene) -> None:
    """Guard: the generation. The server that answers is the admitted one, but its list is old."""
    valkey_restarts_from_an_old_snapshot(scene)
    admit()


def valkey_restarts_during_the_rebuild(scene: Scene) -> None:
    """Guard: the generation as of the snapshot. The restored list is the new one, less a push."""
    rebuild = start_rebuild(scene.ben.pk)
    scene.valkey.take_snapshot()
    scene.alyssa_posts()
    scene.valkey.restart(from_snapshot=True)
    admit()
    rebuild.finish()


def a_delivery_comes_during_the_rebuild(scene: Scene) -> None:
    """Guard: the list begins before Postgres is read. The push comes right after the reading."""
    read = pull.snapshot

    def then_deliver(reader_id: int, source: Source) -> Snapshot | None:
        snapshot = read(reader_id, source)
        scene.alyssa_posts()
        return snapshot

    with patch.object(pull, "snapshot", then_deliver):
        rebuild(scene.ben.pk)


def the_list_is_evicted_during_the_rebuild(scene: Scene) -> None:
    """Guard: the list must exist. A push to a missing list has no effect."""
    scene.alyssa_posts()
    rebuild = start_rebuild(scene.ben.pk)
    client().delete(list_key(scene.ben.pk))
    scene.alyssa_posts()
    rebuild.finish()


def the_list_is_trimmed(scene: Scene) -> None:
    """Guard: the floor. Trimmed tweets must be read from Postgres."""
    page(scene.ben)
    scene.alyssa_posts(count=store.CAP + 3)


def the_list_is_trimmed_during_the_rebuild(scene: Scene) -> None:
    """Guard: the higher of two floors. The rebuild's own floor ignores the trim."""
    rebuild = start_rebuild(scene.ben.pk)
    scene.alyssa_posts(count=store.CAP + 3)
    rebuild.finish()


def late_deliveries_come_during_the_rebuild(scene: Scene) -> None:
    """Guard: no mark during a rebuild. The rebuild adds newer entries after the mark."""
    scene.alyssa_posts(count=10)
    rebuild = start_rebuild(scene.ben.pk)
    for entry in rebuild.snapshot.entries[:5:-1]:
        apply(Change(entry, [scene.ben.pk]))
    rebuild.finish()


History = Callable[[Scene], None]
Mutation = Callable[[pytest.MonkeyPatch], None]


def without_line(script: str, guard: str, instead: str) -> Mutation:
    """Return a mutation that replaces the guard in a Lua script."""

    def mutate(monkeypatch: pytest.MonkeyPatch) -> None:
        owner = changes if script == "tend" else store
        source = store.script(script).source
        assert source.count(guard) == 1
        monkeypatch.setattr(owner, script.upper(), Script(source.replace(guard, instead)))

    return mutate


def believing(is_believed: Callable[[Listed, int, int | None], bool]) -> Mutation:
    """Return a mutation that replaces the condition for believing a list."""

    def doubt(listed: Listed, follows_version: int, generation: int | None) -> Doubt | None:
        return None if is_believed(listed, follows_version, generation) else Doubt.VERSION

    return lambda monkeypatch: monkeypatch.setattr(Listed, "doubt", doubt)


def reading_before_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap the first two steps of a rebuild."""
    begin, read = store.begin_rebuild, pull.snapshot
    snapshots: list[Snapshot | None] = []

    def read_and_begin(reader_id: int) -> Begun | None:
        [admitted] = Admission.objects.values_list("identity", flat=True)
        snapshots.append(pull.snapshot(reader_id, Source(0, admitted)))
        return begin(reader_id)

    monkeypatch.setattr(store, "begin_rebuild", read_and_begin)
    monkeypatch.setattr(
        pull,
        "snapshot",
        lambda reader_id, source: snapshots.pop() if snapshots else read(reader_id, source),
    )


def any_server_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't compare the identity of the server that answers."""
    guard = "identity = $6"
    assert hydration.HYDRATE.count(guard) == 1
    anything = hydration.HYDRATE.replace(guard, "$6::text IS NOT NULL")
    monkeypatch.setattr(hydration, "HYDRATE", anything)


def one_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each admission the same generation."""
    monkeypatch.setattr(admitting, "NEW", "SELECT 1::bigint, clock_timestamp()")
    admit()


def generation_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store the generation of the moment at which the rebuild is finished."""
    finish = store.finish_rebuild

    def finish_later(*args: Any, **snapshot: Any) -> bool:
        return finish(*args, **snapshot | {"generation": generation()})

    monkeypatch.setattr(store, "finish_rebuild", finish_later)


GUARDS: list[tuple[History, Mutation]] = [
    (
        a_rebuild_outlives_its_token,
        without_line("finish", "redis.call('HGET', state, 'token') ~= ARGV[1]", "false"),
    ),
    (
        a_follow_comes_after_the_rebuild,
        believing(
            lambda listed, _, current: listed.version is not None and listed.generation == current
        ),
    ),
    (valkey_restarts_from_an_old_snapshot, any_server_is_admitted),
    (valkey_restarts_and_is_admitted_again, one_generation),
    (valkey_restarts_during_the_rebuild, generation_at_the_end),
    (a_delivery_comes_during_the_rebuild, reading_before_beginning),
    (
        the_list_is_evicted_during_the_rebuild,
        without_line("finish", "redis.call('EXISTS', list) == 0", "false"),
    ),
    (the_list_is_trimmed, without_line("tend", "if floor and cut", "if false and cut")),
    (
        the_list_is_trimmed_during_the_rebuild,
        without_line(
            "finish",
            "if tonumber(ARGV[4]) > tonumber(redis.call('HGET', state, 'floor'))",
            "if true",
        ),
    ),
    (
        late_deliveries_come_during_the_rebuild,
        without_line("tend", "if version then", "if true then"),
    ),
]


@pytest.mark.parametrize("history", [history for history, _ in GUARDS])
def test_with_its_guard_a_history_loses_nothing(scene: Scene, history: History) -> None:
    history(scene)
    assert all_pages(scene.ben, limit=2) == query(scene.ben)


@pytest.mark.parametrize(("history", "mutation"), GUARDS)
def test_without_its_guard_a_history_loses_a_tweet(
    scene: Scene, history: History, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    history(scene)
    shown = all_pages(scene.ben, limit=2)
    assert set(shown) < set(query(scene.ben))
