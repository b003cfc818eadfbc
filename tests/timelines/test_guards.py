"""Every guard of the rebuild protocol is necessary: one history loses a tweet without it.

In each history ben follows alyssa, and ben reads at the end. With all guards, the pages equal the
query. Without the guard that the history is about, they lack a tweet.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from backends.valkey import Script
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.timelines.lists import all_pages, deliver_all, page, query
from tests.timelines.machine import Valkey, own_valkey, small_lists
from tests.valkey import client
from timelines.lists import changes, store
from timelines.lists.changes import Change
from timelines.lists.store import Listed, list_key, state_key
from timelines.reading import pull
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
    slow = store.begin_rebuild(scene.ben.pk)
    assert slow
    snapshot = pull.snapshot(scene.ben.pk)
    scene.alyssa_posts()  # pushed onto the first list
    client().hset(state_key(scene.ben.pk), "busy_until", 0)
    assert store.begin_rebuild(scene.ben.pk)  # a second list, without that tweet
    store.finish_rebuild(scene.ben.pk, slow, **snapshot._asdict())


def a_follow_comes_after_the_rebuild(scene: Scene) -> None:
    """Guard: the version. The list was built from ben's earlier follows."""
    TweetFactory.create(author=scene.louis)
    deliver_all()
    page(scene.ben)
    FollowFactory.create(follower=scene.ben, followed=scene.louis)


def valkey_restarts_from_an_old_snapshot(scene: Scene) -> None:
    """Guard: the run_id. The restored list and state are older than the delivery."""
    page(scene.ben)
    scene.valkey.take_snapshot()
    scene.alyssa_posts()
    scene.valkey.restart(from_snapshot=True)


def valkey_restarts_during_the_rebuild(scene: Scene) -> None:
    """Guard: the run_id as of begin. The restored list is that of the rebuild, less a push."""
    token = store.begin_rebuild(scene.ben.pk)
    assert token
    snapshot = pull.snapshot(scene.ben.pk)
    scene.valkey.take_snapshot()
    scene.alyssa_posts()
    scene.valkey.restart(from_snapshot=True)
    store.finish_rebuild(scene.ben.pk, token, **snapshot._asdict())


def a_delivery_comes_during_the_rebuild(scene: Scene) -> None:
    """Guard: the list begins before Postgres is read. The push comes right after the reading."""
    read = pull.snapshot

    def then_deliver(reader_id: int) -> Snapshot:
        snapshot = read(reader_id)
        scene.alyssa_posts()
        return snapshot

    with patch.object(pull, "snapshot", then_deliver):
        rebuild(scene.ben.pk)


def the_list_is_evicted_during_the_rebuild(scene: Scene) -> None:
    """Guard: the list must exist. A push to a missing list has no effect."""
    scene.alyssa_posts()
    token = store.begin_rebuild(scene.ben.pk)
    assert token
    snapshot = pull.snapshot(scene.ben.pk)
    client().delete(list_key(scene.ben.pk))
    scene.alyssa_posts()
    store.finish_rebuild(scene.ben.pk, token, **snapshot._asdict())


def the_list_is_trimmed(scene: Scene) -> None:
    """Guard: the floor. Trimmed tweets must be read from Postgres."""
    page(scene.ben)
    scene.alyssa_posts(count=store.CAP + 3)


def the_list_is_trimmed_during_the_rebuild(scene: Scene) -> None:
    """Guard: the higher of two floors. The rebuild's own floor ignores the trim."""
    token = store.begin_rebuild(scene.ben.pk)
    assert token
    snapshot = pull.snapshot(scene.ben.pk)
    scene.alyssa_posts(count=store.CAP + 3)
    store.finish_rebuild(scene.ben.pk, token, **snapshot._asdict())


def late_deliveries_come_during_the_rebuild(scene: Scene) -> None:
    """Guard: no mark during a rebuild. The rebuild adds newer entries after the mark."""
    scene.alyssa_posts(count=10)
    token = store.begin_rebuild(scene.ben.pk)
    assert token
    snapshot = pull.snapshot(scene.ben.pk)
    for entry in snapshot.entries[:5:-1]:
        changes.apply([Change(entry, [scene.ben.pk])])
    store.finish_rebuild(scene.ben.pk, token, **snapshot._asdict())


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


def believing(is_believed: Callable[[Listed, int], bool]) -> Mutation:
    """Return a mutation that replaces the condition for believing a list."""
    return lambda monkeypatch: monkeypatch.setattr(Listed, "is_believed", is_believed)


def reading_before_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap the first two steps of a rebuild."""
    begin, read = store.begin_rebuild, pull.snapshot
    snapshots: list[Snapshot] = []

    def read_and_begin(reader_id: int) -> str | None:
        snapshots.append(pull.snapshot(reader_id))
        return begin(reader_id)

    monkeypatch.setattr(store, "begin_rebuild", read_and_begin)
    monkeypatch.setattr(
        pull, "snapshot", lambda reader_id: snapshots.pop() if snapshots else read(reader_id)
    )


GUARDS: list[tuple[History, Mutation]] = [
    (
        a_rebuild_outlives_its_token,
        without_line("finish", "redis.call('HGET', state, 'token') ~= ARGV[1]", "false"),
    ),
    (
        a_follow_comes_after_the_rebuild,
        believing(lambda listed, _: listed.is_same_server and listed.version is not None),
    ),
    (
        valkey_restarts_from_an_old_snapshot,
        believing(lambda listed, version: listed.version == version),
    ),
    (
        valkey_restarts_during_the_rebuild,
        without_line(
            "finish",
            "redis.call('HSET', state, 'version', ARGV[2])",
            "redis.call('HSET', state, 'version', ARGV[2], 'run_id', "
            "string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'))",
        ),
    ),
    (a_delivery_comes_during_the_rebuild, reading_before_beginning),
    (
        the_list_is_evicted_during_the_rebuild,
        without_line("finish", "redis.call('EXISTS', list) == 0", "false"),
    ),
    (the_list_is_trimmed, without_line("tend", "if has_state and floor", "if false and floor")),
    (
        the_list_is_trimmed_during_the_rebuild,
        without_line(
            "finish",
            "if tonumber(ARGV[3]) > tonumber(redis.call('HGET', state, 'floor'))",
            "if true",
        ),
    ),
    (
        late_deliveries_come_during_the_rebuild,
        without_line(
            "tend",
            "if has_state and redis.call('HEXISTS', state, 'version') == 1 then",
            "if true then",
        ),
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
