"""The streams of a process, and which of them have to be supplied."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from timelines.streaming.stream import Stream


class Roster:
    """The streams. Only the thread that supplies them uses it."""

    def __init__(self) -> None:
        self._streams: dict[int, set[Stream]] = defaultdict(set)  # by reader
        self._due: dict[Stream, None] = {}  # those that have been due longest come first
        self.lone: dict[Stream, None] = {}  # to be supplied one by one, in this order

    def __iter__(self) -> Iterator[Stream]:
        return (stream for streams in list(self._streams.values()) for stream in list(streams))

    def add(self, stream: Stream) -> None:
        """Add a stream, which is due."""
        self._streams[stream.reader_id].add(stream)
        self.mark([stream])

    def discard(self, stream: Stream) -> None:
        """Remove a stream, if it is there."""
        self.unmark([stream])
        self.lone.pop(stream, None)
        streams = self._streams[stream.reader_id]
        streams.discard(stream)
        if not streams:
            del self._streams[stream.reader_id]

    @property
    def readers(self) -> list[int]:
        """The ids of the readers who have a stream."""
        return [*self._streams]

    def mark(self, streams: Iterable[Stream]) -> None:
        """Note that the streams are due."""
        for stream in streams:
            stream.is_due = True
            self._due[stream] = None

    def mark_readers(self, reader_ids: Iterable[int]) -> None:
        """Note that the readers' streams are due."""
        for reader_id in reader_ids:
            self.mark(self._streams.get(reader_id, ()))

    def unmark(self, streams: Iterable[Stream]) -> None:
        """Note that the streams are not due any more."""
        for stream in streams:
            stream.is_due = False
            self._due.pop(stream, None)

    def ready(self) -> list[Stream]:
        """Return the streams that are due and idle."""
        return [stream for stream in self._due if stream.is_idle]

    def put_off(self, streams: Iterable[Stream]) -> None:
        """Note that the streams are to be supplied one by one."""
        alone = dict.fromkeys(streams)
        self.unmark(alone)
        self.lone |= alone
