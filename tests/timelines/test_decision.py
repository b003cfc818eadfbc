"""Which servers are admitted after one look at them. Times are those of Postgres."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from backends import nodes
from backends.nodes import Primary
from backends.slots import ALL, Slots
from timelines.delivery.decision import (
    GONE_SECONDS,
    MISSES,
    MOST_SILENT_SECONDS,
    SILENT_SECONDS,
    Decision,
    Holder,
    Row,
)

NOW = datetime(2020, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
NEW = Holder("", "", 2, 0, NOW)


def primary(name: str, epoch: int = 1, slots: Slots = ALL) -> Primary:
    return Primary(f"at {name}", f"{name}:{epoch}", epoch, [slots])


def row(
    name: str,
    epoch: int = 1,
    slots: Slots = ALL,
    *,
    silent: float | None = 0.0,
    valid: bool = True,
    patience: float = SILENT_SECONDS,
    admitted_at: datetime = LONG_AGO,
) -> Row:
    identity, address = (f"{name}:{epoch}", f"at {name}") if name else ("", "")
    return Row(slots, Holder(address, identity, 1, patience, admitted_at), valid, silent)


def decided(
    rows: Sequence[Row], seen: Sequence[Primary], misses: int = MISSES
) -> list[tuple[Slots, str, int]]:
    """Return the ranges with the identities and generations of their holders."""
    counted = Counter({row.holder.identity: misses for row in rows})
    holders = Decision(seen, counted, NEW).holders(rows)
    return [(slots, holder.identity, holder.generation) for slots, holder in holders]


@pytest.fixture(params=["one server", "cluster"])
def is_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether REDIS_URL names a cluster."""
    is_cluster = bool(request.param == "cluster")
    monkeypatch.setattr(nodes.Nodes, "is_cluster", is_cluster)
    return is_cluster


pytestmark = pytest.mark.usefixtures("is_cluster")


def test_the_first_server_is_admitted() -> None:
    assert decided([], [primary("a")]) == [(ALL, "a:1", 2)]
    assert decided([row("")], [primary("a")]) == [(ALL, "a:1", 2)]


def test_without_a_server_nothing_changes() -> None:
    assert decided([], []) == []
    assert decided([row("")], []) == [(ALL, "", 1)]


def test_an_admitted_server_stays_and_may_change_its_address() -> None:
    moved = primary("a")._replace(address="elsewhere")
    [(_, holder)] = Decision([moved], Counter(), NEW).holders([row("a")])
    assert (holder.address, holder.generation) == ("elsewhere", 1)


@pytest.mark.parametrize("silent", [0.0, SILENT_SECONDS - 0.1])
def test_a_server_that_another_worker_has_just_seen_stays(silent: float) -> None:
    rows = [row("a", silent=silent)]
    assert decided(rows, [primary("b")]) == [(ALL, "a:1", 1)]
    assert decided(rows, []) == [(ALL, "a:1", 1)]


@pytest.mark.parametrize("silent", [None, SILENT_SECONDS])
def test_a_silent_server_is_replaced_by_one_with_its_slots(silent: float | None) -> None:
    assert decided([row("a", silent=silent)], [primary("b")]) == [(ALL, "b:1", 2)]


def test_one_failed_attempt_is_no_silence() -> None:
    found = decided([row("a", silent=GONE_SECONDS)], [primary("b")], misses=MISSES - 1)
    assert found == [(ALL, "a:1", 1)]


def test_a_server_that_is_silent_for_long_loses_its_admission() -> None:
    assert decided([row("a", silent=GONE_SECONDS - 0.1)], []) == [(ALL, "a:1", 1)]
    assert decided([row("a", silent=GONE_SECONDS)], []) == [(ALL, "", 2)]


def test_another_timeline_of_postgres_renews_everything() -> None:
    assert decided([row("a", valid=False)], [primary("a")]) == [(ALL, "a:1", 2)]
    assert decided([row("a", valid=False)], []) == [(ALL, "", 2)]


def test_servers_that_take_turns_have_to_be_silent_for_longer_and_longer() -> None:
    patience, waits = SILENT_SECONDS, []
    for _ in range(7):
        soon = NOW - timedelta(seconds=1)
        held = row("a", silent=patience, patience=patience, admitted_at=soon)
        [(_, holder)] = Decision([primary("b")], Counter({"a:1": MISSES}), NEW).holders([held])
        waits.append(holder.patience_seconds)
        patience = holder.patience_seconds
    assert waits == [6, 12, 24, 48, 60, 60, 60]
    assert MOST_SILENT_SECONDS == 60
    calm = row("a", silent=60, patience=60)
    [(_, holder)] = Decision([primary("b")], Counter({"a:1": MISSES}), NEW).holders([calm])
    assert holder.patience_seconds == SILENT_SECONDS


class TestACluster:
    def test_a_higher_epoch_wins_at_once(self) -> None:
        assert decided([row("a")], [primary("b", 2)], misses=0) == [(ALL, "b:2", 2)]
        assert decided([row("a")], [primary("a"), primary("b", 2)]) == [(ALL, "b:2", 2)]
        assert decided([row("b", 2)], [primary("a"), primary("b", 2)]) == [(ALL, "b:2", 1)]

    @pytest.mark.parametrize("is_cluster", ["cluster"], indirect=True)
    def test_a_lower_epoch_wins_only_when_the_other_is_gone(self) -> None:
        rows = [row("b", 2, silent=GONE_SECONDS - 1)]
        assert decided(rows, [primary("a")]) == [(ALL, "b:2", 1)]
        rows = [row("b", 2, silent=GONE_SECONDS)]
        assert decided(rows, [primary("a")]) == [(ALL, "a:1", 2)]

    def test_a_server_that_is_seen_without_the_slots_loses_them(self) -> None:
        half, other = Slots(0, 8191), Slots(8192, 16383)
        found = decided([row("a")], [primary("a", slots=half)])
        assert found == [(half, "a:1", 1), (other, "", 2)]
        found = decided([row("a")], [primary("a", slots=half), primary("b", slots=other)])
        assert found == [(half, "a:1", 1), (other, "b:1", 2)]

    def test_ranges_with_the_same_holder_are_one_row(self) -> None:
        rows = [row("a", slots=Slots(n, n)) for n in range(3)]
        assert decided(rows, [primary("a", slots=Slots(0, 2))]) == [(Slots(0, 2), "a:1", 1)]
