"""Alternate measurements: A B A B, so that a noisy machine is unfair to none."""

import random
import time
from collections.abc import Callable, Mapping
from statistics import median

from rich.progress import track


class Series(dict[str, list[float]]):
    """What each contender needed, in seconds, in every round."""

    def median(self, name: str) -> float:
        """The median of that contender's rounds."""
        return median(self[name])

    def ratio(self, name: str, other: str) -> float:
        """How many times as long `name` takes as `other`: the median of the rounds' ratios."""
        return median(a / b for a, b in zip(self[name], self[other], strict=True))


def in_rounds(title: str, contenders: Mapping[str, Callable[[], float]], rounds: int) -> Series:
    """Let each contender tell its figure once a round; a first round is not counted."""
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
    """The median seconds of one call of each contender, in every round.

    The calls alternate one by one, in changing order: each finds the processor's caches as any
    other left them, as requests do in a server. In a loop of its own a small view fits into the
    cache and takes half as long as it ever will in service.
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
    """The seconds of every single call, in turn, each after `settle`; the first 20 don't count."""
    taken = Series({name: [] for name in contenders})
    for number in track(range(-20, calls), title.ljust(32)):
        for name, call in contenders.items():
            settle()
            started = time.perf_counter()
            call()
            if number >= 0:
                taken[name].append(time.perf_counter() - started)
    return taken
