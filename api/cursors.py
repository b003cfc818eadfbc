"""Cursors: what a client that comes back has been given, and what is therefore new to it."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple, Self

from api.fields import MAX_ID

# Ids above the low-water id. At 3 bytes each a cursor is then 1,600 characters long.
MOST_GIVEN = 400
# In base64. The longest numbers take 9 bytes each.
PATTERN = rf"[A-Za-z0-9_-]{{1,{(MOST_GIVEN + 1) * 9 * 4 // 3 + 1}}}"
_TEXT = re.compile(PATTERN)


class Cursor(NamedTuple):
    """A low-water id, and the ids above it that a client has been given, ascending.

    Its text is the low-water id and the gaps between the ids, as protobuf's varints in base64. Any
    text of base64's characters is a cursor. One that a client makes up changes only what that
    client is shown as new.
    """

    low: int
    given: tuple[int, ...] = ()

    @classmethod
    def of(cls, low: int, ids: Iterable[int]) -> Self:
        """Return the cursor of a client that was given those ids, and all up to the low-water id.

        If there are more than MOST_GIVEN, the low-water id rises to the lowest of them.
        """
        given = sorted({given for given in ids if given > low})
        if len(given) > MOST_GIVEN:
            low, given = given[-MOST_GIVEN - 1], given[-MOST_GIVEN:]
        return cls(low, tuple(given))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the cursor with that text, or None if it has other characters or is too long."""
        if not _TEXT.fullmatch(text):
            return None
        whole = text[:-1] if len(text) % 4 == 1 else text
        low, *given = accumulate(_numbers(urlsafe_b64decode(whole + "=" * (-len(whole) % 4))))
        return cls.of(min(low, MAX_ID), (id_ for id_ in given if id_ <= MAX_ID))

    def __str__(self) -> str:
        gaps = [higher - lower for lower, higher in pairwise([0, self.low, *self.given])]
        return urlsafe_b64encode(bytes(_varints(gaps))).rstrip(b"=").decode()


def _varints(numbers: Iterable[int]) -> Iterator[int]:
    for number in numbers:
        rest = number
        while rest >= 0x80:  # noqa: PLR2004 (7 bits a byte; the eighth says that more follow)
            yield rest & 0x7F | 0x80
            rest >>= 7
        yield rest


def _numbers(varints: bytes) -> list[int]:
    """Return the numbers, at least one. The last one may be cut off."""
    numbers, shift = [0], 0
    for byte in varints:
        numbers[-1] |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004
            numbers.append(0)
            shift = 0
    return numbers if shift else numbers[:-1] or [0]
