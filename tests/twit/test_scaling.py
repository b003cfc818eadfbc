"""docs/scaling.md agrees with itself, with the code and with the results of the benchmarks.

A test that fails prints the lines as they should be.
"""

import json
from math import ceil
from typing import Any

import pytest

from benchmarks.report import RESULTS, number
from tests.stack import CHECKOUT
from timelines.lists import store
from timelines.reading import pull

PAGE = (CHECKOUT / "docs/scaling.md").read_text()
USERS = (1_000_000, 10_000_000, 150_000_000)

Rows = dict[str, list[str]]  # a table's cells, by the name in the first column


def rows(section: str) -> Rows:
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {name.strip("`"): cells for name, *cells in lines}


def check(section: str, right: Rows) -> None:
    wrong = [
        f"| `{name}` | {' | '.join(right[name])} |"
        for name, cells in rows(section).items()
        if cells != right[name]
    ]
    if wrong:
        pytest.fail("\n".join(["docs/scaling.md should have these lines:", *wrong]))


def coefficients() -> Rows:
    """Return the coefficients as the saved results have them."""
    saved: dict[tuple[str, str], float] = {}
    for file in RESULTS.glob("*.json"):
        result = json.loads(file.read_text())
        saved |= {(result["title"], name): figure for name, figure in result["figures"].items()}
    return {
        name: [number(saved[section, figure]), unit, section, figure]
        for name, (_, unit, section, figure) in rows("Coefficients").items()
    }


def results(users: int) -> dict[str, str]:
    """Return each result for that many active users, by the page's own formulas."""
    given = rows("Assumptions") | coefficients()
    names: dict[str, Any] = {"users": users, "ceil": ceil, "max": max}
    names |= {name: float(cells[0].replace(",", "")) for name, cells in given.items()}
    for name, (_, formula, *_) in rows("Results").items():
        names[name] = eval(formula.strip("`"), {"__builtins__": {}}, names)
    return {name: two_digits(names[name]) for name in rows("Results")}


def two_digits(figure: float) -> str:
    rounded = float(f"{figure:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def test_the_coefficients_are_those_of_the_saved_results() -> None:
    check("Coefficients", coefficients())


def test_the_results_follow_from_the_assumptions_and_coefficients() -> None:
    columns = [results(users) for users in USERS]
    right = {
        name: [what, formula, *(column[name] for column in columns)]
        for name, (what, formula, *_) in rows("Results").items()
    }
    check("Results", right)


def test_the_assumptions_about_the_code_are_true() -> None:
    assumed = {name: cells[0] for name, cells in rows("Assumptions").items()}
    assert assumed["entries"] == str(store.CAP)
    assert assumed["permits"] == str(pull.REBUILDS_AT_ONCE)
