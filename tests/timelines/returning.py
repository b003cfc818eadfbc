"""Clients that come back to a home timeline for what is new."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import Mock, patch

from rest_framework.test import APIClient

from api.cursors import Cursor
from timelines.lists import store
from timelines.lists.watch import Watch
from timelines.reading import low_water
from timelines.reading import page as page_module
from timelines.reading.hydration import uncertified
from timelines.streaming import news
from timelines.streaming.stream import Stream
from tweets import settled

AFTER = re.compile(r'[?&]after=([\w-]+)>; rel="prev"')


class LowWater:
    """What processes know: one looks at once, the other one has looked at some earlier time."""

    def __init__(self) -> None:
        self.fresh = low_water.LowWater()
        self.old = 0

    def value(self) -> int:
        self.old = self.fresh.look()
        return self.old


@contextmanager
def looking_at_once() -> Iterator[None]:
    """Let each look find what is settled now, and wait for no missing ids: tweets are deleted."""
    with patch.multiple(settled, IDLE_SECONDS=0.0, MISSING_AMONG=0):
        yield


@contextmanager
def knowing(low_water: object) -> Iterator[None]:
    """Act as a process that knows that low-water id."""
    page_, news_ = (patch.object(at, "low_water", lambda: low_water) for at in (page_module, news))
    with page_, news_:
        yield


class Client:
    """A client that follows `prev` and remembers what it has been given."""

    def __init__(self, reader_id: int) -> None:
        self.reader_id = reader_id
        self.api = APIClient()
        self.cursor = ""
        self.given: set[int] = set()
        self.no_arrivals: set[int] = set()  # ids that may come to the timeline late
        self.streamer = Streamer(reader_id)

    def poll(self, limit: int) -> list[int]:
        """Return the ids of what is new. The first page holds everything."""
        asked = {"limit": str(limit), "after": self.cursor} if self.cursor else {"limit": "200"}
        response = self.api.get(f"/tweets/followed/{self.reader_id}", asked)
        assert response.status_code == 200, response.content
        shown = [int(tweet["id"]) for tweet in response.json()]
        assert shown == sorted(set(shown) - self.given, reverse=True)
        self.given |= set(shown)
        [self.cursor] = AFTER.findall(response["Link"])
        return shown

    def missed(self, timeline: list[int]) -> set[int]:
        """Return what arrived on the timeline, and was not given, although there is nothing new."""
        while self.poll(3):
            pass
        return set(timeline) - self.given - self.no_arrivals

    def missed_by_its_stream(self, timeline: list[int], watch: Watch) -> set[int]:
        """Return the same for its stream."""
        while self.streamer.take(watch, 3):
            pass
        return set(timeline) - self.streamer.given - self.no_arrivals


EVENT = re.compile(rb'id: (\S+)\nevent: tweet\ndata: {"id":"(\d+)".*}\n\n')


class Streamer:
    """A client of streams, which are supplied as the hub does that. It can come back."""

    def __init__(self, reader_id: int) -> None:
        self.given: set[int] = set()
        self.last_id = Cursor(0)
        self.stream = self._open(reader_id)

    def _open(self, reader_id: int) -> Stream:
        return Stream(reader_id, self.last_id, Mock(), is_allowed=Mock())

    def take(self, watch: Watch, most: int, loses_all_but: int | None = None) -> list[int]:
        """Return the ids of the events that arrive. The client comes back if some are lost."""
        with patch.multiple(news, MOST=most, NEWEST=2 * most + store.MARK_SPACING):
            [new] = news.of_lists(watch, [self.stream]).values()
            new = new or news.of_page(self.stream)
        shown = [(self.stream.reader_id, suspect) for suspect in new.suspects]
        gone = {tweet_id for _, tweet_id in uncertified(shown)} if shown else set()
        events = EVENT.findall(b"".join(new.parts(self.stream, gone)))[:loses_all_but]
        ids = [int(tweet_id) for _, tweet_id in events]
        assert ids == sorted(set(ids) - self.given)
        self.given |= {*ids}
        for last_id, _ in events:
            before, self.last_id = self.last_id, Cursor.parse(last_id.decode()) or self.last_id
            assert self.last_id.low >= before.low
        if loses_all_but is not None:
            self.stream = self._open(self.stream.reader_id)
        return ids
