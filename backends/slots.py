"""Slots: a cluster divides its keys into 16,384 of them."""

from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# The checksum that clusters use. A key's slot is checksum(its hash tag, 0) modulo SLOTS.
checksum = crc_hqx
SLOTS, CHECKSUMS = 16_384, 65_536


class Slots(NamedTuple):
    """A range of slots, both ends included."""

    first: int = 0
    last: int = SLOTS - 1

    def __contains__(self, slot: object) -> bool:
        return isinstance(slot, int) and self.first <= slot <= self.last

    def common(self, other: "Slots") -> "Slots | None":
        """Return the slots that are in both ranges, None if there are none."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Slots(first, last) if first <= last else None


ALL = Slots()


def slot_of(number: int) -> int:
    """Return the slot of the keys with that number as their hash tag."""
    return checksum(b"%d" % number, 0) % SLOTS


def stable(words: Sequence[str]) -> Iterator[Slots]:
    """Yield a node's slots that are not being migrated with ASK.

    The words are those of CLUSTER NODES: "93", "100-200", or "[93->-id]" for a slot that moves.
    """
    moving = sorted(int(word[1:].partition("-")[0]) for word in words if word.startswith("["))
    for word in words:
        if not word.startswith("["):
            first, _, last = word.partition("-")
            yield from _without(Slots(int(first), int(last or first)), moving)


def _without(slots: Slots, moving: Sequence[int]) -> Iterator[Slots]:
    first = slots.first
    for slot in moving:
        if slot in slots:
            if first < slot:
                yield Slots(first, slot - 1)
            first = slot + 1
    if first <= slots.last:
        yield Slots(first, slots.last)
