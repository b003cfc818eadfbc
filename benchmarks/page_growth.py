"""How the cost of a page depends on the numbers of tweets and follows."""

from collections.abc import Callable
from functools import partial
from statistics import median

from benchmarks import load, measure
from benchmarks.pages import calls, prepare, readers_of, tweets
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from timelines.reading.rebuild import rebuild


def growth(stack: Stack, size: Size) -> list[Result]:
    """Measure pages by numbers of tweets and follows, and rebuilds by number of follows."""
    pages: dict[str, float] = {}
    empties: list[float] = []
    for total in size.tweets:
        tweets(size, total)
        contenders: dict[str, Callable[[], object]] = {
            f"{total:,} tweets, {follows:,} follows": calls(
                "/tweets/followed/{}", readers_of(size, follows)
            )
            for follows in size.follows
        }
        contenders["empty"] = partial(load.in_process, load.Call("GET", "/empty"))
        title = f"growth of a page, {total:,}"
        series = measure.call_by_call(title, contenders, size.rounds, size.calls)
        # The machine's speed varies, so pages are compared with empty views of the same rounds.
        pages |= {name: series.ratio(name, "empty") for name in series if name != "empty"}
        empties.append(series.median("empty"))
    rebuilds = measure.call_by_call(
        "growth of a rebuild",
        {
            f"{follows:,} follows": partial(rebuild, readers_of(size, follows)[0])
            for follows in size.follows
        },
        size.rounds,
        size.calls // 4 + 1,
    )
    return [
        Result(
            "A page by tweets and follows",
            "multiples of an empty view's time",
            pages,
            [
                Target(
                    "most expensive over cheapest",
                    max(pages.values()) / min(pages.values()),
                    at_most=1.3,
                )
            ],
            f"20 tweets, in process. The empty view takes {1e6 * median(empties):.0f} us.",
        ),
        Result(
            "A rebuild by follows",
            "milliseconds",
            {name: 1000 * rebuilds.median(name) for name in rebuilds},
            remark=f"{size.tweets[-1]:,} tweets by {size.authors:,} authors.",
        ),
    ]


PARTS = ((prepare, growth),)
