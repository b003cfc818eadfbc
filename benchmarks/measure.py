"""Measurements in turn: A B A B. Noise of the machine then affects all contenders alike."""

import random
import time
from collections.abc import Callable, Mapping
from statistics import median

from rich.progress import track


class Series(dict[str, list[float]]):
    """The seconds that each contender took, by name, one figure per round."""

    def median(self, name: str) -> float:
        """Return the median of the contender's rounds, in seconds."""
        return median(self[name])

    def ratio(self, name: str, other: str) -> float:
        """Return the time of `name` divided by the time of `other`: the median over the rounds."""
        return median(a / b for a, b in zip(self[name], self[other], strict=True))


def in_rounds(title: str, contenders: Mapping[str, Callable[[], float]], rounds: int) -> Series:
    """Call each contender once per round and record the seconds that it returns.

    An extra first round warms up and is not recorded.
    """
    series = Series({name: [] for name in contenders})
    turns = [(number, name) for number in range(rounds + 1) for name in contenders]
    for number, name in track(turns, title.ljust(32)):
        figure = contenders[name]()
        if number:
            series[name].append(figure)
    return series


def call_by_call(
    title: str, contenders: Mapping[str, Callable[[], object]], rounds: int, calls: int
) -> Series:
    """Return the median seconds of one call of each contender, one figure per round.

    The contenders take turns call by call, in random order. Each call then finds the processor's
    caches filled by other code, as a request does in a server. In a loop of its own a small view
    fits into the cache and takes half as long as it does in service. An extra first round warms up
    and is not recorded.
    """
    rng = random.Random(1)  # noqa: S311 (repeatable, not secret)
    series = Series({name: [] for name in contenders})
    for number in track(range(rounds + 1), title.ljust(32)):
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(calls):
            for name in rng.sample(list(contenders), len(contenders)):
                started = time.perf_counter()
                contenders[name]()
                taken[name].append(time.perf_counter() - started)
        if number:
            for name in contenders:
                series[name].append(median(taken[name]))
    return series


def one_by_one(
    title: str,
    contenders: Mapping[str, Callable[[], object]],
    calls: int,
    settle: Callable[[], None],
) -> Series:
    """Return the seconds of every single call.

    The contenders take turns, and `settle` runs before each call. The first 20 calls of each
    contender warm up and are not recorded.
    """
    taken = Series({name: [] for name in contenders})
    for number in track(range(-20, calls), title.ljust(32)):
        for name, call in contenders.items():
            settle()
            started = time.perf_counter()
            call()
            if number >= 0:
                taken[name].append(time.perf_counter() - started)
    return taken
