"""Watched lists: every change after a read is reported, even if the connection is lost."""

import os
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.test import override_settings

from backends.slots import Slots
from tests.proxy import Proxy
from tests.stack import wait_until
from tests.timelines.lists import materialise, push
from tests.valkey import client
from tests.valkeys import Valkeys
from timelines.lists import store
from timelines.lists.store import list_key, state_key
from timelines.lists.watch import Watch

NEWEST = 20
READERS = [1, 2, 3]


@pytest.fixture
def watch() -> Watch:
    """A watch that has read three lists."""
    for reader_id in READERS:
        materialise(reader_id, 10)
    made = Watch()
    assert [*read(made)] == READERS
    assert changed(made) == set()
    return made


def read(watch: Watch, *reader_ids: int) -> dict[int, list[int] | None]:
    """Return the tweets in the lists."""
    found = watch.read(reader_ids or READERS, NEWEST)
    return {reader_id: list(listed.tweet_ids) if listed else None for reader_id, listed in found}


def changed(watch: Watch, seconds: float = 0.05) -> set[int]:
    """Return what the watch tells of within that time, or at once."""
    watch.wait(round(1000 * seconds))
    return {*watch.changed()}


def test_a_pushed_tweet_is_told_once_until_the_list_is_read_again(watch: Watch) -> None:
    push(11, 1, 3)
    assert changed(watch) == {1, 3}
    push(12, 1, 3)
    assert changed(watch) == set()
    assert read(watch, 1) == {1: [10, 11, 12]}
    push(13, 1, 3)
    assert changed(watch) == {1}


def test_an_absent_list_is_told_of_when_it_is_built(watch: Watch) -> None:
    assert read(watch, 4) == {4: None}
    materialise(4, 10)
    assert changed(watch) == {4}


@pytest.mark.parametrize("key", [list_key, state_key])
def test_an_evicted_list_is_told(watch: Watch, key: Callable[[int], str]) -> None:
    client().delete(key(1))
    assert changed(watch) == {1}
    assert read(watch, 1) == {1: None}


def test_a_rebuild_that_begins_or_ends_is_told(watch: Watch) -> None:
    begun = store.begin_rebuild(1)
    assert begun
    assert changed(watch) == {1}
    read(watch, 1)
    store.finish_rebuild(1, begun.token, version=0, generation=0, floor=0, entries=[])
    assert changed(watch) == {1}


@pytest.mark.parametrize("command", ["FLUSHDB", "FLUSHALL"])
def test_all_lists_of_an_emptied_server_are_told(watch: Watch, command: str) -> None:
    client().execute_command(command)
    assert changed(watch) == {*READERS}
    assert changed(watch) == set()


def test_all_lists_of_a_killed_connection_are_told_and_watched_again(watch: Watch) -> None:
    client().client_kill_filter(_type="normal", skipme=True)
    assert changed(watch) == {*READERS}
    assert changed(watch) == set()
    read(watch)
    push(11, 2)
    assert changed(watch) == {2}


def test_a_change_while_others_are_read_is_told_without_another_word(watch: Watch) -> None:
    push(11, 1)
    read(watch, 2, 3)
    started = time.monotonic()
    assert changed(watch, 10) == {1}
    assert time.monotonic() - started < 5


def test_a_renewal_of_the_expiry_leaves_the_list_watched(watch: Watch) -> None:
    client().expire(list_key(1), 10)
    assert changed(watch) == {1}
    read(watch)
    assert client().ttl(list_key(1)) > store.EXPIRY_SECONDS - 10
    while changed(watch):  # the renewal is a change too
        read(watch)
    push(11, *READERS)
    assert changed(watch) == {*READERS}


def test_another_descriptor_ends_the_wait(watch: Watch) -> None:
    bell, rope = os.pipe()
    os.write(rope, b".")
    started = time.monotonic()
    watch.wait(10_000, [bell])
    assert time.monotonic() - started < 5
    os.close(bell)
    os.close(rope)


def test_a_server_that_does_not_answer_has_no_lists_and_tells_when_it_is_back() -> None:
    port = int(settings.REDIS_URL.rpartition(":")[2].partition("/")[0])
    proxy = Proxy(port)
    with override_settings(REDIS_URL=proxy.url(settings.REDIS_URL)):
        for reader_id in READERS:
            materialise(reader_id, 10)
        watch = Watch()
        read(watch)
        proxy.cut()
        assert changed(watch) == {*READERS}
        assert read(watch) == dict.fromkeys(READERS)
        proxy.heal()
        wait_until(lambda: read(watch)[1] == [10])
    push(11, 1)
    assert changed(watch) == {1}
    proxy.close()


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkeys]:
    cluster = Valkeys(tmp_path_factory.mktemp("cluster"), 2, node_timeout_ms=15_000)
    yield cluster
    cluster.stop()


def test_lists_that_move_to_another_node_are_told(valkeys: Valkeys) -> None:
    with override_settings(REDIS_URL=valkeys.url):
        for reader_id in READERS:
            materialise(reader_id, 10)
        watch = Watch()
        assert all(read(watch).values())
        assert changed(watch) == set()
        slot = store.slot(1)
        source = valkeys.owner(slot)
        [target] = {*valkeys.nodes} - {source}
        valkeys.move(source, target, [Slots(slot, slot)])
        assert changed(watch, 3) == {1}
        wait_until(lambda: read(watch, 1) == {1: [10]}, 5)
        push(11, 1)
        assert changed(watch) == {1}
