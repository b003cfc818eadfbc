"""Which server should hold the lists of which slots, from what a worker has seen."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from backends.identity import NONE, Identity
from backends.nodes import Primary, nodes
from backends.slots import Slots

# A server that no worker has seen for this long is replaced, if another one has its slots. The
# time doubles with each replacement that follows soon, so that two servers can't take turns.
SILENT_SECONDS, MOST_SILENT_SECONDS = 3.0, 60.0
SOON = 20  # times the silence
# A server that no worker has seen for this long loses its admission even without a successor. Its
# lists are not believed any more, and need no deliveries.
GONE_SECONDS = 30.0
MISSES = 3  # sweeps in a row in which this process has not seen a server that it calls silent


class Holder(NamedTuple):
    """Which server holds some slots. The identity is NONE if no server is admitted."""

    address: str
    identity: Identity
    generation: int
    patience_seconds: float
    admitted_at: datetime

    @property
    def epoch(self) -> int:
        """The server's epoch in its cluster; 0 for a single server."""
        return int(self.identity.partition(":")[2] or 0)


class Row(NamedTuple):
    """A row of the table."""

    slots: Slots
    holder: Holder
    is_valid: bool  # on this timeline of Postgres
    silent_seconds: float | None


class Decision:
    """What becomes of the admissions after one look at the servers."""

    def __init__(
        self, primaries: Sequence[Primary], misses: Counter[Identity], new: Holder
    ) -> None:
        self.primaries = sorted(primaries, key=lambda primary: primary.epoch)
        self.seen = {primary.identity for primary in primaries}
        self.misses, self.new = misses, new

    def holders(self, rows: Sequence[Row]) -> Iterator[tuple[Slots, Holder]]:
        """Yield the new holder of each range of slots. Ranges without one are left out."""
        claimed = [slots for primary in self.primaries for slots in primary.slots]
        ranges = [*claimed, *(row.slots for row in rows)]
        bounds = sorted({bound for first, last in ranges for bound in (first, last + 1)})
        before: tuple[Slots, Holder] | None = None
        for first, end in pairwise(bounds):
            row = next((row for row in rows if row.slots.first <= first <= row.slots.last), None)
            holder = self._holder(row, self._claimant(first))
            if before and before[0].last == first - 1 and before[1] == holder:
                before = Slots(before[0].first, end - 1), holder
                continue
            if before:
                yield before
            before = (Slots(first, end - 1), holder) if holder else None
        if before:
            yield before

    def _claimant(self, slot: int) -> Primary | None:
        """Return the primary that says that it has the slot: the one with the highest epoch."""
        claimants = [
            primary
            for primary in self.primaries
            if any(first <= slot <= last for first, last in primary.slots)
        ]
        return claimants[-1] if claimants else None

    def _holder(self, row: Row | None, claimant: Primary | None) -> Holder | None:
        if row is None or row.holder.identity == NONE:
            return self._admit(claimant) if claimant else row and row.holder
        held = row.holder
        is_seen = held.identity in self.seen
        if claimant and claimant.identity == held.identity and row.is_valid:
            return held._replace(address=claimant.address)
        has_newer_epoch = claimant is not None and claimant.epoch > held.epoch
        if has_newer_epoch or is_seen or not row.is_valid:  # if seen, it lost the slot
            return self._admit(claimant)
        is_rival = not nodes().is_cluster or (claimant and claimant.epoch == held.epoch)
        if claimant and is_rival and self._is_silent(row, held.patience_seconds):
            age_seconds = (self.new.admitted_at - held.admitted_at).total_seconds()
            doubled = min(2 * held.patience_seconds, MOST_SILENT_SECONDS)
            is_soon = age_seconds < SOON * held.patience_seconds
            return self._admit(claimant, doubled if is_soon else SILENT_SECONDS)
        return self._admit(claimant) if self._is_silent(row, GONE_SECONDS) else held

    def _is_silent(self, row: Row, seconds: float) -> bool:
        has_missed = self.misses[row.holder.identity] >= MISSES
        return has_missed and (row.silent_seconds is None or row.silent_seconds >= seconds)

    def _admit(self, primary: Primary | None, patience: float | None = None) -> Holder:
        address, found = (primary.address, primary.identity) if primary else ("", NONE)
        return self.new._replace(
            address=address, identity=found, patience_seconds=patience or SILENT_SECONDS
        )
