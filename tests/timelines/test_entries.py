from hypothesis import given
from hypothesis import strategies as st

from timelines.lists.entries import Entry, decode, mark

ids = st.integers(min_value=1, max_value=2**63 - 1)


@given(st.lists(st.builds(Entry, ids, ids)))
def test_decoding_returns_the_encoded_entries(entries: list[Entry]) -> None:
    encoded = [entry.encode() for entry in entries]
    assert decode(encoded) == (sorted(entry.tweet_id for entry in entries), [])
    assert decode([b"", *encoded, b""]) == decode(encoded)


@given(st.lists(ids), st.lists(ids))
def test_marks_are_decoded_among_entries(marks: list[int], entries: list[int]) -> None:
    encoded = [mark(number) for number in marks] + [Entry(number, 1).encode() for number in entries]
    assert decode(encoded) == (sorted(entries), marks)
    assert decode(encoded[::-1]) == (sorted(entries), marks[::-1])


def test_entries_are_small() -> None:
    assert len(Entry(2_000_000, 100_000).encode()) == 8
