"""One page of a home timeline: from a believed list as far as it reaches, then from Postgres."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from api import paging
from api.cursors import Cursor
from api.fields import MAX_ID
from api.paging import Page, Window
from backends import metrics
from backends.valkey import Unavailable
from timelines.lists import store
from timelines.lists.listed import Listed
from timelines.models import Flag
from timelines.reading import pull
from timelines.reading.hydration import hydrate
from timelines.reading.low_water import low_water
from timelines.reading.rebuild import rebuild
from tweets.displayed import DisplayedTweet
from users.authentication import Bearer
from users.models import User

# When entries drop out of a page, this many further ones are hydrated at once.
REFILL = 200
# If the list was read longer ago than this, it may lack a tweet whose flag has expired. The second
# is a margin for the time from a query's snapshot to its response.
LIST_SECONDS = Flag.LINGER_SECONDS - 1
READS = 2  # of a list, before Postgres serves the page
# Where the ids come from. "mixed" ones are from a list down to its floor, and then from Postgres.
_NEWEST, _WHOLE, _MIXED, _POSTGRES = map(
    metrics.PAGES.labels, ("newest", "whole", "mixed", "postgres")
)


class Early(NamedTuple):
    """A page that has begun: the low-water id, and the read of the list."""

    low: int
    started: float  # monotonic seconds
    read: store.EarlyRead | None


def begin(reader_id: int, window: Window) -> Early:
    """Begin to read the newest part of the list, which the page probably needs."""
    low, started = low_water().value(), time.monotonic()
    try:
        is_newest = window.max_id == MAX_ID
        read = store.begin_read(reader_id, _newest(window)) if is_newest else None
    except Unavailable:
        read = None
    return Early(low, started, read)


def home_page(
    reader_id: int, window: Window, bearer: Bearer | None = None, early: Early | None = None
) -> Page[DisplayedTweet]:
    """Return the page that the window asks for. Raises User.DoesNotExist.

    If a list serves it, hydration also checks the reader's token.
    """
    try:
        page = _from_fresh_list(reader_id, window, bearer, early)
        if page:
            return page
        listed = rebuild(reader_id).listed
        page = from_list(reader_id, listed, window) if listed else None
        if page:
            return page
    except Unavailable:  # without Redis the page is still right, but slower
        metrics.UNBELIEVED.labels("unavailable").inc()
    page = _from_postgres(reader_id, window)
    if not page.items:
        User.objects.only("id").get(pk=reader_id)
    return page


def cursor_of_now(reader_id: int) -> Cursor:
    """Return the cursor of a client to whom nothing is new. Raises User.DoesNotExist."""
    low, newest, make = low_water().value(), Window(limit=1), partial(home_page, reader_id)
    return paging.cursor(newest, make(newest), low, make)


def _from_fresh_list(
    reader_id: int, window: Window, bearer: Bearer | None, early: Early | None
) -> Page[DisplayedTweet] | None:
    """Return the page. None without a believed list, or if each of READS attempts took too long."""
    for _ in range(READS):
        started = early.started if early else time.monotonic()
        listed = _read(reader_id, window, early)
        early = None
        if listed is None:
            metrics.UNBELIEVED.labels("absent").inc()
            return None
        page = from_list(reader_id, listed, window, bearer)
        if page is None or time.monotonic() - started < LIST_SECONDS:
            return page
        metrics.UNBELIEVED.labels("late").inc()
    return None


def _newest(window: Window) -> int:
    """Return how many elements suffice, unless many entries are late or repeated."""
    return store.MARK_SPACING + 2 * (window.limit + 1)  # a mark and the page


def _read(reader_id: int, window: Window, early: Early | None) -> Listed | None:
    """Return the newest part of the reader's list if that suffices, else the whole list."""
    if window.max_id == MAX_ID:
        if early and early.read:
            listed = store.finish_read(early.read)
        else:
            listed = store.read(reader_id, _newest(window))
        if listed is None or listed.is_whole or listed.floor <= window.since_id:
            return listed
        is_enough = len(listed.between(window.since_id, window.max_id)) > window.limit
        if is_enough and window.after is None:
            return listed
    return store.read(reader_id)


def from_list(
    reader_id: int, listed: Listed, window: Window, bearer: Bearer | None = None
) -> Page[DisplayedTweet] | None:
    """Return the page, or None if the list is not believed.

    Further entries replace those that hydration drops, so a page is short only if the window holds
    no more tweets. What is below the list's floor comes from Postgres.
    """
    if window.after is None:
        batches = _downwards(listed, window)
    elif listed.floor <= window.since_id:
        batches = _upwards(listed, window, window.after.given)
    else:
        return _from_postgres(reader_id, window)
    found: list[DisplayedTweet] = []
    for ids, above, below in batches:
        bounds = {"above": above, "below": below}
        hydrated = hydrate(reader_id, ids, listed.source, **bounds, bearer=bearer)
        if doubt := listed.doubt(hydrated.follows_version, hydrated.generation):
            metrics.UNBELIEVED.labels(doubt.name.lower()).inc()
            return None
        found += hydrated.tweets
        page = window.page(found)
        if page.has_more:
            break
    rest = None if page.has_more else window.below(listed.floor, len(found))
    if window.after or rest is None:
        (_WHOLE if listed.is_whole else _NEWEST).inc()
        return page
    _MIXED.inc()
    older = pull.page(reader_id, rest)
    return Page([*found, *older.items], older.has_more)


def _from_postgres(reader_id: int, window: Window) -> Page[DisplayedTweet]:
    _POSTGRES.inc()
    return pull.page(reader_id, window)


class Batch(NamedTuple):
    """Ids that are hydrated together, and the bounds of the batch: above < id < below.

    The batches of a page are adjacent, so a flagged tweet that the list lacks is found once.
    """

    tweet_ids: Sequence[int]
    above: int
    below: int


def _downwards(listed: Listed, window: Window) -> Iterator[Batch]:
    """Yield the batches from the newest entries down to the floor, or to `since_id`."""
    rest = listed.between(window.since_id, window.max_id)
    taken, below = window.limit + 1, window.max_id
    while True:
        ids = rest[-taken:]
        rest = rest[: bisect_left(rest, ids[0])] if ids else []  # an id may be there repeatedly
        if not rest:
            yield Batch(ids, max(listed.floor, window.since_id), below)
            return
        yield Batch(ids, ids[0] - 1, below)
        taken, below = REFILL, ids[0]


def _upwards(listed: Listed, window: Window, given: Sequence[int]) -> Iterator[Batch]:
    """Yield the batches of what is new to a cursor, from the lowest id up."""
    rest = sorted({*listed.between(window.since_id, window.max_id)}.difference(given))
    taken, above = window.limit + 1, window.since_id
    while True:
        ids, rest = rest[:taken], rest[taken:]
        if not rest:
            yield Batch(ids, above, window.max_id)
            return
        yield Batch(ids, above, rest[0])
        taken, above = REFILL, rest[0] - 1
