"""One page of a home timeline: from a believed list as far as it reaches, then from Postgres."""

import time
from bisect import bisect_left
from contextlib import suppress

from api.fields import MAX_ID
from api.paging import Page, Window
from backends import postgres
from backends.valkey import Unavailable
from timelines.lists import store
from timelines.lists.store import Listed
from timelines.models import Flag
from timelines.reading import pull
from timelines.reading.hydration import hydrate
from timelines.reading.rebuild import rebuild
from tweets.models import DisplayedTweet
from users.models import User

# When entries drop out of a page, this many further ones are hydrated at once.
REFILL = 200
# If the list was read longer ago than this, it may lack a tweet whose flag has expired. It is a
# second less than the flag's, a margin for the time from a query's snapshot to its response.
LIST_SECONDS = Flag.LINGER_SECONDS - 1
READS = 2  # of a list, before Postgres serves the page


def home_page(reader_id: int, window: Window) -> Page[DisplayedTweet]:
    """Return the page that the window asks for. Raises User.DoesNotExist."""
    with suppress(Unavailable):  # without Redis the page is still right, but slower
        page = _from_fresh_list(reader_id, window)
        if page:
            return page
        snapshot = rebuild(reader_id).snapshot
        page = _from_list(reader_id, snapshot.listed, window) if snapshot else None
        if page:
            return page
    page = pull.page(reader_id, window)
    if not page.items:
        User.objects.only("id").get(pk=reader_id)
    return page


def _from_fresh_list(reader_id: int, window: Window) -> Page[DisplayedTweet] | None:
    """Return the page. None without a believed list, or if each of READS attempts took too long."""
    for _ in range(READS):
        started = time.monotonic()
        listed = _read(reader_id, window)
        page = _from_list(reader_id, listed, window) if listed else None
        if page is None or time.monotonic() - started < LIST_SECONDS:
            return page
    return None


def _read(reader_id: int, window: Window) -> Listed | None:
    """Return the newest part of the reader's list if that suffices, else the whole list."""
    if window.max_id == MAX_ID:
        # Enough for a mark and the page, unless many entries are late or repeated.
        newest = store.MARK_SPACING + 2 * (window.limit + 1)
        listed = store.read(reader_id, newest, meanwhile=postgres.connect)
        if listed is None or listed.is_whole or listed.floor <= window.since_id:
            return listed
        if len(listed.between(window.since_id, window.max_id)) > window.limit:
            return listed
    return store.read(reader_id, meanwhile=postgres.connect)


def _from_list(reader_id: int, listed: Listed, window: Window) -> Page[DisplayedTweet] | None:
    """Return the page, or None if the list is not believed.

    Older entries replace those that hydration drops, so a page is short only if the window holds no
    more tweets. Each batch covers the ids down to its lowest one, so a flagged tweet that the list
    lacks is found once. What is below the list's floor comes from Postgres.
    """
    found: list[DisplayedTweet] = []
    candidates = listed.between(window.since_id, window.max_id)
    wanted = taken = window.limit + 1
    end, below = max(listed.floor, window.since_id), window.max_id
    while True:
        newest = candidates[-taken:]
        candidates = candidates[: bisect_left(candidates, newest[0])] if newest else []
        above = newest[0] - 1 if candidates else end
        version, tweets = hydrate(reader_id, newest, above=above, below=below)
        if not listed.is_believed(version):
            return None
        found += tweets
        if len(found) >= wanted or not candidates:
            break
        taken, below = REFILL, newest[0]
    rest = window.below(listed.floor, len(found))
    if rest is None:
        return Page.cut(found, window.limit)
    older = pull.page(reader_id, rest)
    return Page([*found, *older.items], older.has_more)
