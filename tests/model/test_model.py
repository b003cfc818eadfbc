"""No page is wrong in any history of the models, and each guard is necessary for that."""

from collections import Counter
from typing import Any

import pytest

from tests.model import MODELS
from tests.model.engine import Model, explore
from tests.model.guards import Guard
from tests.model.lists import Lists

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # on a busy machine

MOST_STATES = 100_000  # an exploration that reaches them is cut short
NECESSARY = [(model, guard) for model in MODELS for guard in model.necessary]


@pytest.mark.parametrize("model", MODELS)
def test_with_all_guards_no_page_is_wrong(model: type[Model[Any]]) -> None:
    result = explore(model(), MOST_STATES)
    print(f"\n{model.__name__}: {result}")
    assert result.is_exhausted, "cut short"
    assert not result.history, str(result)


@pytest.mark.parametrize(("model", "guard"), NECESSARY)
def test_without_a_guard_a_page_is_wrong(model: type[Model[Any]], guard: Guard) -> None:
    result = explore(model(guard, size=model.necessary[guard]), MOST_STATES)
    print(f"\n{model.__name__} without {guard.name} ({guard.value}): {result}")
    assert result.history


def test_each_guard_is_necessary_in_one_model() -> None:
    assert Counter(guard for _, guard in NECESSARY) == Counter(Guard)


def test_an_exploration_that_is_cut_short_says_so() -> None:
    result = explore(Lists(), 1_000)
    assert (result.is_exhausted, result.history) == (False, [])
