from hypothesis import given
from hypothesis import strategies as st

from timelines.entries import Entry

ids = st.integers(min_value=1, max_value=2**63 - 1)


@given(ids, ids)
def test_an_entry_survives_its_bytes(tweet_id: int, author_id: int) -> None:
    entry = Entry(tweet_id, author_id)
    assert Entry.decode(entry.encode()) == entry


def test_entries_are_small() -> None:
    assert len(Entry(2_000_000, 100_000).encode()) == 8
