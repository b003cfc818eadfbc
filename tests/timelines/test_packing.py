"""The commands of a round, packed by hand."""

import pytest

from tests.timelines.lists import AUTHOR, listed, materialise
from timelines.lists import changes
from timelines.lists.changes import Change, Outcome
from timelines.lists.entries import Entry

# Keys of three lengths, so that the runs of equal length begin and end inside pieces.
READERS = (7, 8, 9, 10, 11, 12, 13, 100, 101)


@pytest.mark.parametrize("piece", range(1, len(READERS) + 2))
def test_a_change_of_many_pieces_reaches_every_list(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(changes, "PIECE_LISTS", piece)
    for reader_id in READERS:
        materialise(reader_id, 3)
    delivery = Change(Entry(4, AUTHOR), READERS)
    assert changes.apply([delivery]) == [Outcome(len(READERS))]
    assert [listed(reader_id) for reader_id in READERS] == [[4, 3]] * len(READERS)
    assert changes.apply([delivery._replace(is_retraction=True)]) == [Outcome(len(READERS))]
    assert [listed(reader_id) for reader_id in READERS] == [[3]] * len(READERS)


def test_a_change_of_no_lists_sends_nothing() -> None:
    assert list(changes.pack(Change(Entry(4, AUTHOR), []))) == []
    assert changes.apply([Change(Entry(4, AUTHOR), [])]) == [Outcome()]
