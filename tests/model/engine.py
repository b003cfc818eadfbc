"""Breadth-first exploration of a model: every state that its steps can reach."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from tests.model.guards import Guard

State = TypeVar("State", bound=Hashable)


class Model(ABC, Generic[State]):
    """A protocol without some of its guards. `size` bounds the model; each model says what."""

    size: int
    necessary: Mapping[Guard, int]  # at that size, a page is wrong without the guard

    def __init__(self, *without: Guard, size: int | None = None) -> None:
        self.without = frozenset(without)
        self.size = size or self.size

    def has(self, guard: Guard) -> bool:
        """Return whether this model has the guard."""
        return guard not in self.without

    @abstractmethod
    def start(self) -> State:
        """Return the state in which every history begins."""

    @abstractmethod
    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield everything that can happen next: what it is, and the state after it."""

    @abstractmethod
    def is_wrong(self, state: State) -> bool:
        """Return whether a page lacks a tweet in this state, or what else the model forbids."""

    def reduced(self, state: State) -> State:
        """Return the state that stands for all that behave like this one."""
        return state


class Result(NamedTuple):
    """What an exploration found."""

    states: int
    is_exhausted: bool
    history: list[str]  # the shortest one after which a page is wrong, or empty

    def __str__(self) -> str:
        """Return the result and the numbered steps of the history."""
        if not self.history:
            outcome = "no page is wrong" if self.is_exhausted else "CUT SHORT"
            return f"{self.states:,} states: {outcome}"
        steps = [f"  {number:2}. {step}" for number, step in enumerate(self.history, 1)]
        return "\n".join([f"a page is wrong, found after {self.states:,} states:", *steps])


def explore(model: Model[State], limit: int) -> Result:
    """Return what the model's states are like, up to the first history that makes a page wrong.

    The exploration is cut short when more than `limit` states are known.
    """
    start = model.reduced(model.start())
    before: dict[State, State | None] = {start: None}
    waiting = deque([start])
    seen: set[State] = set()  # before they were reduced, which takes most of the time
    while waiting and len(before) <= limit:
        state = waiting.popleft()
        for _, after in model.steps(state):
            if after in seen:
                continue
            seen.add(after)
            reduced = model.reduced(after)
            if reduced in before:
                continue
            before[reduced] = state
            if model.is_wrong(reduced):
                return Result(len(before), False, list(_history(model, before, reduced)))
            waiting.append(reduced)
    return Result(len(before), not waiting, [])


def _history(model: Model[State], before: dict[State, State | None], last: State) -> Iterator[str]:
    path: list[State] = [last]
    while (earlier := before[path[-1]]) is not None:
        path.append(earlier)
    for state, after in zip(path[:0:-1], path[-2::-1], strict=True):
        yield next(step for step, found in model.steps(state) if model.reduced(found) == after)
