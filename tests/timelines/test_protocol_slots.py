"""Random histories of the list protocol in a cluster of two primaries, between which slots move."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.timelines.histories import EXAMPLES, FIRST_FAILURE, LOST, only_in_long_runs, run, small
from tests.timelines.history import History, places
from tests.timelines.machine import after_sending
from tests.timelines.people import NAMES, people
from tests.timelines.shards import Shards
from tests.timelines.test_failover import Mutation
from tests.timelines.test_slots import any_slot_is_admitted


class ClusterHistory(History):
    """Each reader's list is on one of two primaries."""

    servers: Shards

    @rule(name=people, waits=st.booleans())
    def move_slot(self, name: str, waits: bool) -> None:
        self.servers.move(self.users[name])
        if waits:
            self.servers.wait_for_move()

    @rule(name=people)
    def seize_slot(self, name: str) -> None:
        self.servers.seize(self.users[name])

    @rule(name=people, place=st.integers(0, 1), seizes=st.booleans())
    def cut_off(self, name: str, place: int, seizes: bool) -> None:
        """Let one node not hear that a slot has a new owner."""
        self.servers.cut_off(place)
        if seizes:
            self.seize_slot(name)

    @rule()
    def settle(self) -> None:
        self.servers.settle()

    @rule(
        name=people,
        how=st.sampled_from(["move", "seize", "seize unheard"]),
        place=places,
        delivers=st.sampled_from([None, *NAMES]),
    )
    def give_a_slot_to_the_other_node(
        self, name: str, how: str, place: int, delivers: str | None
    ) -> None:
        """Let a slot get a new owner, which is admitted. A tweet may be delivered next."""
        if how == "move":
            self.move_slot(name, waits=True)
        else:
            if how == "seize unheard":
                self.servers.cut_off(self.servers.place(self.users[name]))
            self.seize_slot(name)
        self.look_at_the_servers(place, "decide")
        if delivers:
            self.deliver_a_tweet(delivers, place=place)
        self.read(set(NAMES), limit=2, place=place)

    @rule(
        number=st.integers(0, 1),
        place=places,
        acts=st.lists(
            st.sampled_from(["give", "move", "seize", "decide", "read", "deliver"]), max_size=4
        ),
        name=people,
    )
    def push_while_others_act(
        self, number: int, place: int, acts: Sequence[str], name: str
    ) -> None:
        """Do things between the commands of a round and its replies."""
        worker, other = self.workers[number], 1 - place
        if not worker.claims:
            worker.claim(rows=4, followers=4)
        if worker.outcomes is not None:
            worker.finish()
            return
        steps: dict[str, Callable[[], None]] = {
            "give": lambda: self.give_a_slot_to_the_other_node(name, "move", other, None),
            "move": lambda: self.move_slot(name, waits=False),
            "seize": lambda: self.seize_slot(name),
            "decide": lambda: self.look_at_the_servers(other, "decide"),
            "read": lambda: self.read(set(NAMES), limit=2, place=other),
            "deliver": lambda: self.work_through_the_outbox(place=other),
        }

        def act() -> None:
            for what in acts:
                steps[what]()

        with after_sending(act):
            self.push(worker, place)


@pytest.fixture
def shards(transactional_db: None, tmp_path: Path) -> Iterator[Shards]:
    servers = Shards(tmp_path)
    yield servers
    servers.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a busy machine
@pytest.mark.parametrize(("cap", "spacing"), [(7, 1), (14, 2)])
def test_no_history_of_a_cluster_loses_a_tweet(shards: Shards, cap: int, spacing: int) -> None:
    ClusterHistory.servers = shards
    with small(cap, spacing):
        run(ClusterHistory, EXAMPLES // 5)


@only_in_long_runs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutation", [any_slot_is_admitted])
def test_without_a_guard_some_history_of_a_cluster_loses_a_tweet(
    shards: Shards, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    ClusterHistory.servers = shards
    mutation(monkeypatch)
    with small(14, 2), pytest.raises(LOST):
        run(ClusterHistory, EXAMPLES, **FIRST_FAILURE)
