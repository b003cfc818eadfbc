"""Repeated checks of whether clients may still read what they are streaming."""

import random
import time
from collections.abc import Iterable, Iterator

from timelines.streaming.stream import Stream
from users.grants import revoked

REVOKED_SECONDS = 2.0  # between two looks for tokens that are no longer valid
CHECK_SECONDS = (45.0, 55.0)  # between two checks of everything that access depends on
CHECKS_AT_ONCE = 20


class Checks:
    """The checks of a process's streams."""

    def __init__(self) -> None:
        self._revoked_at = 0.0

    def add(self, stream: Stream) -> None:
        """Check the stream from now on."""
        stream.check_at = time.monotonic() + random.uniform(*CHECK_SECONDS)  # noqa: S311

    def failed(self, streams: Iterable[Stream]) -> Iterator[Stream]:
        """Make the checks that are due. Yield the streams that must end."""
        now = time.monotonic()
        if now >= self._revoked_at:
            self._revoked_at = now + REVOKED_SECONDS
            yield from without_token(streams)
        for stream in [stream for stream in streams if now >= stream.check_at][:CHECKS_AT_ONCE]:
            if not stream.is_allowed():
                yield stream
            self.add(stream)  # if the check fails with an exception, it is made again soon


def without_token(streams: Iterable[Stream]) -> set[Stream]:
    """Return those streams whose token is no longer valid."""
    lost = revoked({stream.digest for stream in streams})
    return {stream for stream in streams if stream.digest in lost}
