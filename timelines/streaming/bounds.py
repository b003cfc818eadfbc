"""How many streams a process serves at once: in all, for one user, and for one address."""

import resource
import threading
from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, Throttled

from api import access

RETRY_AFTER_SECONDS = 5


class TooManyStreams(Throttled):
    """A 429."""

    def __init__(self, most: int, whose: str) -> None:
        APIException.__init__(self, f"There are already {most} streams {whose}.")
        self.wait = RETRY_AFTER_SECONDS


class TooManyInAll(APIException):
    """A 503."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The server has too many streams."
    wait = RETRY_AFTER_SECONDS


class Bounds:
    """Counts a process's streams. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        # Streams leave half of the file descriptors to other requests.
        most_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(settings.TWIT_STREAMS, most_files // 2)

    def take(self, user_id: int | None, address: str) -> Sequence[str]:
        """Count a stream, and return what `release` takes when it ends.

        Raises TooManyStreams or TooManyInAll. An open API can't tell its users apart, so only the
        number of all streams is bounded there.
        """
        bounds = {"": self._most}
        if not access.is_open():
            bounds |= {
                f"of user {user_id}": settings.TWIT_STREAMS_PER_USER,
                f"from the address {address}": settings.TWIT_STREAMS_PER_ADDRESS,
            }
        with self._lock:
            for whose, most in bounds.items():
                if self._counts[whose] >= most:
                    access.log.warning(
                        "A stream was refused: this process has %d already%s",
                        most,
                        whose and f" {whose}",
                    )
                    raise TooManyStreams(most, whose) if whose else TooManyInAll
            self._counts.update(bounds.keys())
        return [*bounds]

    def release(self, counted: Sequence[str]) -> None:
        """Stop counting a stream."""
        with self._lock:
            self._counts -= Counter(counted)  # which drops what is 0
