"""How the cost of a delivery depends on the author's number of followers."""

from functools import partial

from benchmarks import measure, world
from benchmarks.deliveries import drained, prepare
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack


def growth(stack: Stack, size: Size) -> list[Result]:
    """Make equally many deliveries, by authors with few and with many followers."""
    counts = [n for n in (100, 1_000, 10_000, 150_000) if n <= size.readers]
    total = counts[-1]
    authors, first = {}, size.ordinary_authors[-1] + 1
    for n in counts:
        authors[n] = range(first, first + total // n)
        first += total // n
    # Every contender pushes one entry onto every list. With fewer lists, more of them would fit
    # into the processor's cache, and that would look like growth.
    edges = (
        (1 + number * n + place, author)
        for n in counts
        for number, author in enumerate(authors[n])
        for place in range(n)
    )
    world.add_follows(edges, users=first)

    def twit(n: int) -> float:
        return drained(authors[n]) / total

    contenders = {f"{n:,} followers": partial(twit, n) for n in counts}
    series = measure.in_rounds("growth of fan-out", contenders, size.rounds)
    many = [series.median(f"{n:,} followers") for n in counts if n >= 1_000]  # noqa: PLR2004
    return [
        Result(
            "Fan-out by number of followers",
            "microseconds per delivery",
            {name: 1e6 * series.median(name) for name in series},
            [
                Target(
                    "most expensive over cheapest, from 1,000 followers",
                    max(many) / min(many),
                    at_most=1.5,
                )
            ],
            f"Each figure is measured with {total:,} deliveries, one to each list.",
        )
    ]


PARTS = ((prepare, growth),)
