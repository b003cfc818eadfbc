"""The lists in a real Valkey."""

import pytest
import redis
from django.conf import settings as django_settings
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from timelines import store
from timelines.entries import Entry
from timelines.store import Listed

READER = 7


def materialise(*tweet_ids: int, reader_id: int = READER, is_whole: bool = True) -> None:
    store.replace(reader_id, [Entry(i, 1) for i in tweet_ids], is_whole=is_whole)


def test_a_push_reaches_materialised_lists_only() -> None:
    materialise(reader_id=7)
    materialise(3, reader_id=9)
    assert store.push(Entry(4, 1), [7, 8, 9]) == 2
    assert store.read(7) == Listed([4], is_whole=True)
    assert store.read(8) is None
    assert store.read(9) == Listed([4, 3], is_whole=True)


@given(st.sets(st.integers(min_value=1, max_value=2**63 - 1), max_size=30))
def test_a_push_finds_keys_of_every_length(reader_ids: set[int]) -> None:
    store.client().flushdb()
    for reader_id in reader_ids:
        materialise(reader_id=reader_id)
    assert store.push(Entry(4, 1), sorted(reader_ids)) == len(reader_ids)
    assert all(store.read(i) == Listed([4], is_whole=True) for i in reader_ids)


def test_late_and_repeated_pushes_are_read_in_order_and_once() -> None:
    materialise(5, 3)
    for tweet_id in (6, 4, 6):
        store.push(Entry(tweet_id, 1), [READER])
    assert store.read(READER) == Listed([6, 5, 4, 3], is_whole=True)


def test_a_removed_entry_is_gone_however_often_it_stood() -> None:
    materialise(3)
    store.push(Entry(4, 1), [READER])
    store.push(Entry(4, 1), [READER])
    assert store.remove(Entry(4, 1), [READER, 8]) == 1
    assert store.read(READER) == Listed([3], is_whole=True)


def test_an_overlong_list_is_trimmed_and_is_not_whole_any_more(
    settings: Settings,
) -> None:
    settings.HOME_TIMELINE_CAP, settings.HOME_TIMELINE_SLACK = 3, 2
    materialise(1)
    for tweet_id in range(2, 5):
        store.push(Entry(tweet_id, 1), [READER])
    assert store.read(READER) == Listed([4, 3, 2, 1], is_whole=True)
    store.push(Entry(5, 1), [READER])
    assert store.read(READER) == Listed([5, 4, 3], is_whole=False)


def test_a_read_renews_the_expiry_and_a_push_does_not() -> None:
    materialise(1)
    key = store.key(READER)
    store.client().expire(key, 50)
    store.push(Entry(2, 1), [READER])
    assert store.client().ttl(key) <= 50
    store.read(READER)
    assert store.client().ttl(key) == django_settings.HOME_TIMELINE_EXPIRY_SECONDS


def test_a_forgotten_list_is_absent() -> None:
    materialise(1)
    store.forget([READER, 8])
    assert store.read(READER) is None


def test_an_error_reply_is_raised_and_does_not_answer_the_next_command() -> None:
    materialise(1, reader_id=6)
    store.client().set(store.key(READER), "no list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.push(Entry(2, 1), [6, READER, 8, 9])
    assert store.read(6) == Listed([2, 1], is_whole=True)
