"""How random histories are run.

TWIT_PROTOCOL_EXAMPLES sets the number of histories, TWIT_PROTOCOL_STEPS their length.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.timelines.history import History
from tests.timelines.machine import no_patience, small_lists, small_ranges
from tests.timelines.returning import looking_at_once

EXAMPLES = int(os.environ.get("TWIT_PROTOCOL_EXAMPLES", "60"))
STEPS = int(os.environ.get("TWIT_PROTOCOL_STEPS", "40"))
only_in_long_runs = pytest.mark.skipif(
    "TWIT_PROTOCOL_EXAMPLES" not in os.environ, reason="TWIT_PROTOCOL_EXAMPLES is not set"
)
# Options of a run that ends at the first history that fails, and what it then raises. Hypothesis
# raises a group if the history does not fail again.
FIRST_FAILURE = {"phases": [Phase.generate], "database": None, "report_multiple_bugs": False}
LOST = (AssertionError, BaseExceptionGroup)


def run(history: type[History], examples: int, **options: Any) -> None:
    """Run random histories."""
    run_state_machine_as_test(
        history,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            **options,
        ),
    )


@contextmanager
def small(cap: int, spacing: int) -> Iterator[None]:
    """Make lists, ranges and pauses so small that everything happens within a few steps."""
    sizes = small_lists(cap=cap, spacing=spacing), small_ranges(long_followers=0)
    with sizes[0], sizes[1], no_patience(), looking_at_once():
        yield
