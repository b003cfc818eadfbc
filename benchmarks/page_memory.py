"""The memory of a process that serves many different pages."""

import resource
from itertools import cycle
from pathlib import Path

from rich.progress import track

from benchmarks import load
from benchmarks.pages import prepare, readers_of, tweets
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from tweets.models import Tweet

PARTS_OF_ALL = 4  # the memory is measured after each of them


def different_pages(stack: Stack, size: Size) -> list[Result]:
    """Measure the resident memory of this process, on Linux."""
    if not Path("/proc/self/statm").exists():
        return []
    tweets(size, size.tweets[-1])
    newest, step = Tweet.objects.latest("id").pk, size.different_pages // PARTS_OF_ALL
    readers = cycle(readers_of(size, size.follows[1]))
    figures: dict[str, float] = {}
    for number in track(range(1, size.different_pages + 1), "different pages".ljust(32)):
        path = f"/tweets/followed/{next(readers)}?max_id={newest - number}"
        load.in_process(load.Call("GET", path))
        if number % step == 0:
            figures[f"after {number:,} different pages"] = _resident_bytes() / 1e6
    first, *_, last = figures.values()
    return [
        Result(
            "Memory of a process that serves pages",
            "megabytes",
            figures,
            [Target("at the end over a quarter of the way", last / first, at_most=1.02)],
            "This is the process of the benchmarks. A page leaves nothing in its process.",
        )
    ]


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


PARTS = ((prepare, different_pages),)
