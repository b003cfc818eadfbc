"""Random histories of the list protocol, with servers that restart, change roles and split."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.timelines.histories import EXAMPLES, FIRST_FAILURE, LOST, only_in_long_runs, run, small
from tests.timelines.history import History, places
from tests.timelines.machine import after_sending
from tests.timelines.pair import Pair
from tests.timelines.people import NAMES, people
from tests.timelines.test_failover import Mutation, any_push_counts
from tests.timelines.test_guards import any_server_is_admitted, one_generation


class PairHistory(History):
    """The lists are on one server at a time, of two."""

    servers: Pair

    @initialize(follows=st.booleans())
    def start_with_a_replica(self, follows: bool) -> None:
        if follows:
            self.change_roles("follow", 1)

    @rule(how=st.sampled_from(["promote", "follow", "lose primary"]), place=st.integers(0, 1))
    def change_roles(self, how: str, place: int) -> None:
        if how == "promote":
            self.servers.promote(place)
        elif how == "follow":
            self.servers.follow(place)
        else:
            self.servers.lose_primary(place)

    @rule()
    def lead_elsewhere(self) -> None:
        self.servers.lead_elsewhere()

    @rule(
        loses=st.booleans(),
        reads=st.booleans(),
        follows=st.booleans(),
        delivers=st.sampled_from([None, *NAMES]),
    )
    def fail_over(self, loses: bool, reads: bool, follows: bool, delivers: str | None) -> None:
        """Put the other node in the place of the primary, which may become its replica.

        A worker may deliver a tweet that still reaches the old primary.
        """
        if loses:
            self.servers.lose_primary(1)
        self.take_over(1, reads=reads)
        if delivers:
            self.deliver_a_tweet(delivers, place=1)
        if follows:
            self.servers.follow(1)

    def take_over(self, place: int, *, reads: bool) -> None:
        self.servers.promote(place)
        if place:
            self.servers.lead_elsewhere()
        self.look_at_the_servers(0, "decide")
        if reads:
            self.read(set(NAMES), limit=2)

    @rule(
        number=st.integers(0, 1),
        place=places,
        freezes=st.booleans(),
        acts=st.lists(st.sampled_from(["take over", "read", "post", "deliver"]), max_size=4),
        author=people,
    )
    def push_while_others_act(
        self, number: int, place: int, freezes: bool, acts: Sequence[str], author: str
    ) -> None:
        """Push to a node that may be frozen meanwhile. The others reach the other node."""
        worker = self.workers[number]
        if not worker.claims:
            worker.claim(rows=4, followers=4)
        if worker.outcomes is not None:
            worker.finish()
            return
        slow, other = self.servers.nodes[place], self.servers.nodes[1 - place]

        def act() -> None:
            there = self.servers.nodes.index(other)
            for what in acts:
                if what == "take over":
                    self.take_over(there, reads=False)
                    there = 0
                elif what == "read":
                    self.read(set(NAMES), limit=2, place=there)
                elif what == "post":
                    self.post(author, 1)
                else:
                    self.work_through_the_outbox(place=there)
            slow.thaw()

        if freezes:
            slow.freeze()
        try:
            with after_sending(act):
                self.push(worker, place)
        finally:
            slow.thaw()

    @rule(place=places)
    def take_snapshot(self, place: int) -> None:
        self.servers.nodes[place].take_snapshot()

    @rule(place=places, from_snapshot=st.sampled_from([True, True, False]))
    def restart(self, place: int, from_snapshot: bool) -> None:
        self.servers.restart(place, from_snapshot=from_snapshot)


@pytest.fixture
def pair(transactional_db: None, tmp_path: Path) -> Iterator[Pair]:
    servers = Pair(tmp_path)
    yield servers
    servers.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a busy machine
@pytest.mark.parametrize(("cap", "spacing"), [(7, 1), (14, 2)])
def test_no_history_of_two_servers_loses_a_tweet(pair: Pair, cap: int, spacing: int) -> None:
    PairHistory.servers = pair
    with small(cap, spacing):
        run(PairHistory, 3 * EXAMPLES // 10)


@only_in_long_runs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutation", [any_push_counts, one_generation, any_server_is_admitted])
def test_without_a_guard_some_history_of_two_servers_loses_a_tweet(
    pair: Pair, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    PairHistory.servers = pair
    mutation(monkeypatch)
    with small(14, 2), pytest.raises(LOST):
        run(PairHistory, EXAMPLES, **FIRST_FAILURE)
