"""The text of cursors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import MOST_GIVEN, PATTERN, Cursor
from api.fields import MAX_ID

ids = st.integers(1, MAX_ID)


@given(low=st.integers(0, MAX_ID), shown=st.lists(ids))
def test_a_cursor_survives_its_text(low: int, shown: list[int]) -> None:
    cursor = Cursor.of(low, shown)
    assert Cursor.parse(str(cursor)) == cursor


@given(low=st.integers(0, MAX_ID), shown=st.lists(ids))
def test_ids_up_to_the_low_water_id_are_left_out(low: int, shown: list[int]) -> None:
    assert Cursor.of(low, shown).given == tuple(sorted({shown for shown in shown if shown > low}))


def test_a_cursor_without_ids_is_short() -> None:
    assert len(str(Cursor(1_000_000_000_000))) == 8


def test_with_too_many_ids_the_low_water_id_rises() -> None:
    cursor = Cursor.of(5, range(MOST_GIVEN + 10))
    assert cursor == Cursor(9, tuple(range(10, MOST_GIVEN + 10)))


def test_the_longest_cursor_is_accepted() -> None:
    step = MAX_ID // (MOST_GIVEN + 1)
    longest = Cursor.of(step, range(2 * step, MAX_ID, step))
    assert len(longest.given) == MOST_GIVEN
    assert Cursor.parse(str(longest)) == longest


@given(st.from_regex(PATTERN, fullmatch=True))
def test_any_text_of_the_pattern_is_a_cursor(text: str) -> None:
    cursor = Cursor.parse(text)
    assert cursor
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "=", "AQ==", "A\n", "A\0", "ä", "+/", "A" * 10_000])
def test_other_texts_are_not(text: str) -> None:
    assert Cursor.parse(text) is None
