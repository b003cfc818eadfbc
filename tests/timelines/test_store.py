"""The lists in a real Valkey."""

from collections.abc import Callable

import pytest
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backends.nodes import nodes
from backends.valkey import Connection, Unavailable
from tests.timelines.lists import AUTHOR, admissions, apply, listed, materialise, push
from tests.timelines.machine import small_lists
from tests.valkey import client
from timelines.lists import changes, store, upkeep
from timelines.lists.changes import Outcome
from timelines.lists.entries import Entry
from timelines.lists.packing import Change
from timelines.lists.store import list_key, state_key

READER = 7
# The tweet's number, and whether it is retracted.
CHANGE = st.tuples(st.integers(1, 99), st.sampled_from([False, False, True]))


def test_a_push_reaches_materialised_lists_only() -> None:
    materialise(7)
    materialise(9, 3)
    assert push(4, 7, 8, 9) == 2
    assert (listed(7), listed(8), listed(9)) == ([4], None, [4, 3])


@given(st.sets(st.integers(min_value=1, max_value=2**63 - 1), max_size=30))
def test_a_push_finds_keys_of_every_length(reader_ids: set[int]) -> None:
    client().flushdb()
    for reader_id in reader_ids:
        materialise(reader_id)
    assert push(4, *sorted(reader_ids)) == len(reader_ids)
    assert all(listed(reader_id) == [4] for reader_id in reader_ids)


def test_late_and_repeated_pushes_are_read_in_order() -> None:
    materialise(READER, 5, 3)
    for tweet_id in (6, 4, 6):
        push(tweet_id, READER)
    assert listed(READER) == [6, 6, 5, 4, 3]


def test_a_retraction_removes_every_copy_of_an_entry() -> None:
    materialise(READER, 3)
    push(4, READER)
    push(4, READER)
    assert apply(Change(Entry(4, AUTHOR), [READER, 8], is_retraction=True)) == [Outcome(1)]
    assert listed(READER) == [3]


def test_changes_are_applied_in_order() -> None:
    materialise(READER)
    delivery = Change(Entry(4, AUTHOR), [READER])
    retraction = delivery._replace(is_retraction=True)
    assert apply(delivery, retraction, delivery, retraction) == [Outcome(1)] * 4
    assert listed(READER) is not None
    assert listed(READER) == []


def test_a_trim_raises_the_floor_to_the_highest_id_that_it_removes(
    list_size: Callable[..., None],
) -> None:
    list_size(cap=3, spacing=3)
    materialise(READER, 40, 30)
    push(10, READER)  # late
    found = store.read(READER)
    assert found and (found.tweet_ids, found.floor) == ([10, 30, 40], 0)
    push(50, READER)  # six elements with the placeholder and a mark: cap plus spacing
    found = store.read(READER)
    assert found and (found.tweet_ids, found.floor) == ([10, 50], 40)


def test_a_floor_beyond_double_precision_is_rounded_up(list_size: Callable[..., None]) -> None:
    list_size(cap=1, spacing=1)
    materialise(READER)
    highest_cut = 2**63 - 1000
    push(highest_cut, READER)
    push(highest_cut - 1, READER)
    found = store.read(READER)
    assert found
    assert found.tweet_ids == [highest_cut - 1]
    assert highest_cut <= found.floor < highest_cut + 10_000


class AnyList(SimpleTestCase):
    @hypothesis_settings(max_examples=300, deadline=None)
    @given(
        built_from=st.sets(st.integers(1, 50), max_size=12),
        made=st.integers(0, 80).flatmap(
            lambda many: st.lists(CHANGE, min_size=many, max_size=many)
        ),
        at_once=st.integers(1, 60),
        cap=st.integers(1, 40),
        spacing=st.integers(1, 30),
        scale=st.sampled_from([1, 2**55 + 1]),
    )
    def test_every_read_holds_all_entries_above_its_floor(
        self,
        built_from: set[int],
        made: list[tuple[int, bool]],
        at_once: int,
        cap: int,
        spacing: int,
        scale: int,
    ) -> None:
        due = {scale * number for number in built_from}
        with small_lists(cap=cap, spacing=spacing):
            materialise(READER, *sorted(due, reverse=True))
            all_changes = [Change(Entry(scale * i, AUTHOR), [READER], gone) for i, gone in made]
            for first in range(0, len(made), at_once):
                apply(*all_changes[first : first + at_once])
        for number, is_retraction in made:
            (due.discard if is_retraction else due.add)(scale * number)
        length = client().llen(list_key(READER))
        for newest in (*range(1, length + 2), None):
            listed = store.read(READER, newest)
            assert listed and listed.is_whole == (newest is None or newest > length)
            assert {i for i in due if i > listed.floor} <= set(listed.tweet_ids)


def test_marks_keep_their_spacing_while_a_list_grows(list_size: Callable[..., None]) -> None:
    list_size(cap=30, spacing=5)
    materialise(READER, *range(100, 80, -1))
    for tweet_id in range(101, 161):
        push(tweet_id, READER)
        part = store.read(READER, 6)
        assert part
        assert tweet_id - 5 <= part.floor <= tweet_id
    assert client().llen(list_key(READER)) <= 35


def test_a_list_without_marks_gets_a_new_one(list_size: Callable[..., None]) -> None:
    list_size(spacing=5)
    materialise(READER)
    apply(*(Change(Entry(i, AUTHOR), [READER]) for i in range(1, 4)))
    client().lpush(list_key(READER), *(Entry(i, AUTHOR).encode() for i in range(4, 99)))
    push(99, READER)  # the hundredth element, counting the placeholder
    part = store.read(READER, 3)
    assert part and (part.floor, part.is_whole) == (99, False)


def test_a_read_renews_the_expiry_and_a_push_does_not() -> None:
    materialise(READER, 1)
    for key in (list_key(READER), state_key(READER)):
        client().expire(key, 50)
    push(2, READER)
    store.read(READER, renew=False)
    assert all(40 <= client().ttl(key) <= 50 for key in (list_key(READER), state_key(READER)))
    store.read(READER)
    month = store.EXPIRY_SECONDS
    assert all(client().ttl(key) > month - 10 for key in (list_key(READER), state_key(READER)))


def test_a_forgotten_list_is_absent() -> None:
    materialise(READER, 1)
    upkeep.forget(READER)
    assert listed(READER) is None
    assert client().dbsize() == 0


def test_all_materialised_readers_are_found() -> None:
    for reader_id in (3, 5, 2**62):
        materialise(reader_id)
    assert sorted(upkeep.materialised()) == [3, 5, 2**62]


def test_an_error_in_one_list_fails_only_its_own_change() -> None:
    materialise(6, 1)
    materialise(9, 1)
    client().set(list_key(READER), "no list")
    failed, other = apply(
        Change(Entry(2, AUTHOR), [6, READER, 9]), Change(Entry(3, AUTHOR), [6, 9])
    )
    assert failed.error.startswith(f"{list_key(READER)}: WRONGTYPE")
    assert other == Outcome(2)
    assert listed(6) == listed(9) == [3, 2, 1]


def test_pushes_go_out_while_an_early_read_is_pending() -> None:
    materialise(READER, 1)
    admitted = admissions()
    for tweet_id in range(2, 50):
        early = store.begin_read(READER)
        change = Change(Entry(tweet_id, AUTHOR), [READER])
        assert changes.apply([change], admitted) == [Outcome(1)]
        found = store.finish_read(early)
        assert found
        assert max(found.tweet_ids) == tweet_id - 1


def test_garbage_instead_of_lengths_is_a_server_that_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "lines", lambda _, count: count * [b"HTTP/1.1 400 \xff"])
    with pytest.raises(Unavailable, match="400"):
        apply(Change(Entry(2, AUTHOR), [READER]))


def test_an_invalid_id_fails_only_its_own_change() -> None:
    materialise(READER)
    failed, other = apply(Change(Entry(-1, AUTHOR), [READER]), Change(Entry(2, AUTHOR), [READER]))
    assert failed.error.startswith("ValueError")
    assert other == Outcome(1)


def test_a_full_list_and_its_state_take_less_than_13_bytes_per_entry() -> None:
    materialise(100_000, *range(2_000_800, 2_000_000, -1), version=123_456)
    assert upkeep.memory_bytes(100_000) / 800 < 13


def test_lost_scripts_are_loaded_again_after_one_error() -> None:
    materialise(READER)
    client().script_flush()
    with pytest.raises(Unavailable, match="No matching script"):
        store.begin_rebuild(READER)
    assert store.begin_rebuild(READER)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(
        st.one_of(
            st.integers(0, 62).flatmap(lambda bits: st.integers(2**bits, 2 ** (bits + 1) - 1)),
            st.integers(1, 8).map(lambda size: 2 ** (7 * size)),
            st.integers(53, 62).map(lambda bits: 2**bits + 1),  # a double would be lower
        ),
        min_size=18,
        max_size=18,
    )
)
def test_marks_and_floors_are_never_below_the_ids_they_bound(ids: list[int]) -> None:
    with small_lists(cap=10, spacing=10):
        materialise(READER)
        for tweet_id in ids:
            push(tweet_id, READER)
    part, whole = store.read(READER, 1), store.read(READER)
    assert part and whole
    # All ids that a double holds are exact; above, the bound may exceed the id by a few ulps.
    for bound, highest in ((part.floor, max(ids)), (whole.floor, max(ids[:9]))):
        assert highest <= bound <= (highest if highest < 2**53 else highest * (1 + 2**-49))


def test_lists_beyond_the_first_batch_are_tended_too(
    list_size: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    list_size(cap=2, spacing=2)
    monkeypatch.setattr(changes, "TENDED_AT_ONCE", 3)
    readers = range(1, 8)
    for reader_id in readers:
        materialise(reader_id)
    for tweet_id in (4, 5, 6):
        push(tweet_id, *readers)
    assert {client().llen(list_key(reader_id)) for reader_id in readers} == {3}


def test_a_read_whose_connection_was_lost_is_repeated() -> None:
    materialise(READER, 1)
    begun = store.begin_read(READER)
    with pytest.raises(Unavailable), nodes().connection(0):
        raise ConnectionError
    listed = store.finish_read(begun)
    assert listed
    assert listed.tweet_ids == [1]
