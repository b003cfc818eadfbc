"""The commands of a round, packed by hand."""

import pytest

from tests.timelines.lists import AUTHOR, apply, listed, materialise
from tests.valkey import client
from timelines.lists import packing
from timelines.lists.changes import Outcome
from timelines.lists.entries import Entry
from timelines.lists.packing import Change
from timelines.lists.store import list_key

# Keys of three lengths, so that the runs of equal length begin and end inside pieces.
READERS = (7, 8, 9, 10, 11, 12, 13, 100, 101)


@pytest.mark.parametrize("piece", range(1, len(READERS) + 2))
def test_a_change_of_many_pieces_reaches_every_list(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(packing, "PIECE_LISTS", piece)
    for reader_id in READERS:
        materialise(reader_id, 3)
    delivery = Change(Entry(4, AUTHOR), READERS)
    assert apply(delivery) == [Outcome(len(READERS))]
    assert [listed(reader_id) for reader_id in READERS] == [[4, 3]] * len(READERS)
    assert apply(delivery._replace(is_retraction=True)) == [Outcome(len(READERS))]
    assert [listed(reader_id) for reader_id in READERS] == [[3]] * len(READERS)


def test_a_key_of_another_type_is_reported_and_the_other_lists_are_reached() -> None:
    for reader_id in READERS:
        materialise(reader_id, 3)
    client().set(list_key(9), "no list")
    [outcome] = apply(Change(Entry(4, AUTHOR), READERS))
    assert outcome.reached == len(READERS) - 1
    assert outcome.error.startswith("home:{9}: WRONGTYPE")


def test_a_change_of_no_lists_sends_nothing() -> None:
    assert list(packing.pack(Change(Entry(4, AUTHOR), []), [])) == []
    assert apply(Change(Entry(4, AUTHOR), [])) == [Outcome()]
