from hypothesis import given
from hypothesis import strategies as st

from timelines.entries import Entry, tweet_ids

ids = st.integers(min_value=1, max_value=2**63 - 1)


@given(st.lists(st.builds(Entry, ids, ids)))
def test_entries_survive_their_bytes(entries: list[Entry]) -> None:
    encoded = [entry.encode() for entry in entries]
    assert tweet_ids(encoded) == sorted(entry.tweet_id for entry in entries)
    assert tweet_ids([b"", *encoded, b""]) == tweet_ids(encoded)


def test_entries_are_small() -> None:
    assert len(Entry(2_000_000, 100_000).encode()) == 8
