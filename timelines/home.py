"""One page of a home timeline: from the list while that is believed and reaches, else Postgres."""

from bisect import bisect_left, bisect_right
from contextlib import suppress
from dataclasses import replace

from django.conf import settings

from timelines import hydration, rebuild, server, store
from timelines.store import Listed
from tweets.paging import Window
from tweets.serializers import DisplayedTweet
from users import postgres
from users.models import User

# Candidates hydrated at once to make up for some that dropped out: many may have.
REFILL = 200


def home_page(reader_id: int, window: Window) -> list[DisplayedTweet]:
    """The page's tweets, and one more when there are older ones in the window.

    Raises User.DoesNotExist when there is no such reader.
    """
    page = None
    # Without Redis it takes longer and is as right.
    with suppress(server.Unavailable):
        listed = _read(reader_id, window)
        if listed is not None:
            page = _page_from_list(reader_id, listed, window)
        if page is None:
            rebuild.rebuild(reader_id)
    if page is None:
        page = rebuild.page(reader_id, window)
        if not page:
            User.objects.only("id").get(pk=reader_id)
    return page


def _read(reader_id: int, window: Window) -> Listed | None:
    """As much of the reader's list as the page needs: the newest pushes, or the whole."""
    if window.max_id is None:
        # With a mark among them: far enough down, unless many are late or stand there twice.
        newest = settings.HOME_TIMELINE_SLACK + 2 * (window.limit + 1)
        listed = store.read(reader_id, newest, meanwhile=postgres.connect)
        if listed is None or listed.is_whole or listed.holds(window.limit + 1, window.since_id):
            return listed
    return store.read(reader_id, meanwhile=postgres.connect)


def _page_from_list(reader_id: int, listed: Listed, window: Window) -> list[DisplayedTweet] | None:
    """The page, or None if the list is not believed.

    Entries that hydration drops are made up for from further down, so that a page is short only
    at the window's end.
    """
    page: list[DisplayedTweet] = []
    first = bisect_right(listed.tweet_ids, max(listed.floor, window.since_id or 0))
    end = None if window.max_id is None else bisect_left(listed.tweet_ids, window.max_id)
    candidates = listed.tweet_ids[first:end]
    wanted = window.limit + 1
    taken = wanted
    while True:
        newest = candidates[-taken:]
        version, tweets = hydration.hydrate(reader_id, newest)
        if not listed.is_believed(version):
            return None
        page = (page + tweets)[:wanted]
        candidates = candidates[: bisect_left(candidates, newest[0])] if newest else []
        if len(page) == wanted or not candidates:
            break
        taken = REFILL
    below = _below_floor(listed, window, len(page))
    return page + rebuild.page(reader_id, below) if below else page


def _below_floor(listed: Listed, window: Window, shown: int) -> Window | None:
    """What is left of the window at and below the list's floor, if anything."""
    beneath = listed.floor + 1 if window.max_id is None else min(window.max_id, listed.floor + 1)
    if shown > window.limit or beneath <= (window.since_id or 0) + 1:
        return None
    return replace(window, max_id=beneath, limit=window.limit - shown)
