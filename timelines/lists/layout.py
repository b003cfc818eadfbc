"""Which admitted server has which followers' lists."""

from functools import lru_cache
from typing import NamedTuple

from backends.identity import Identity
from backends.slots import ALL, CHECKSUMS, SLOTS, Slots, checksum
from timelines.lists.admission import Admission
from timelines.lists.packing import Change


class Server(NamedTuple):
    """An admitted server: all its slots were admitted with the same identity."""

    address: str
    identity: Identity


class Layout(NamedTuple):
    """The admitted servers with their slots."""

    slots: dict[Server, list[Slots]]
    # The place of the server in `slots`; their number if no server is admitted.
    by_slot: list[int]
    by_checksum: list[int]

    def divide(self, change: Change) -> list[list[bytes]]:
        """Return the followers whose lists each server holds, in the order of `slots`.

        They are hash tags: the digits of their ids.
        """
        if list(self.slots.values()) == [[ALL]] and change.slots == ALL:
            return [[b"%d" % follower_id for follower_id in change.follower_ids]]
        shares: list[list[bytes]] = [[] for _ in range(len(self.slots) + 1)]
        by_checksum = self.by_checksum
        if change.slots != ALL:
            by_slot = [len(self.slots)] * SLOTS
            here = slice(change.slots.first, change.slots.last + 1)
            by_slot[here] = self.by_slot[here]
            by_checksum = by_slot * (CHECKSUMS // SLOTS)
        adds = [share.append for share in shares]
        for follower_id in change.follower_ids:  # the hot loop of a cluster: 0.1 us a follower
            tag = b"%d" % follower_id
            adds[by_checksum[checksum(tag, 0)]](tag)
        return shares[:-1]


@lru_cache(1)
def layout(admissions: tuple[Admission, ...]) -> Layout:
    """Return the layout of these admissions."""
    slots: dict[Server, list[Slots]] = {}
    for admission in admissions:
        server = Server(admission.address, admission.identity)
        slots.setdefault(server, []).append(admission.slots)
    by_slot = [len(slots)] * SLOTS
    for place, ranges in enumerate(slots.values()):
        for first, last in ranges:
            by_slot[first : last + 1] = [place] * (last + 1 - first)
    return Layout(slots, by_slot, by_slot * (CHECKSUMS // SLOTS))
