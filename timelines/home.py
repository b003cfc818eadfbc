"""One page of a home timeline: from the list while that is believed and reaches, else Postgres."""

from dataclasses import replace

from timelines import hydration, rebuild, store
from timelines.store import Listed
from tweets.paging import Window
from tweets.serializers import DisplayedTweet
from users.models import User


def home_page(reader_id: int, window: Window) -> list[DisplayedTweet]:
    """The page's tweets, and one more when there are older ones in the window.

    Raises User.DoesNotExist when there is no such reader.
    """
    listed = store.read(reader_id)
    page = None if listed is None else _page_from_list(reader_id, listed, window)
    if page is None:
        rebuild.rebuild(reader_id)
        page = rebuild.page(reader_id, window)
        if not page:
            User.objects.only("id").get(pk=reader_id)
    return page


def _page_from_list(reader_id: int, listed: Listed, window: Window) -> list[DisplayedTweet] | None:
    """The page, or None if the list is not believed.

    Entries that hydration drops are made up for from further down, so that a page is short only
    at the window's end.
    """
    page: list[DisplayedTweet] = []
    candidates = [i for i in listed.tweet_ids if i > listed.floor and window.covers(i)]
    while True:
        missing = window.limit + 1 - len(page)
        version, tweets = hydration.hydrate(reader_id, candidates[:missing])
        if not listed.is_believed(version):
            return None
        page += tweets
        candidates = candidates[missing:]
        if len(page) > window.limit or not candidates:
            break
    below = _below_floor(listed, window, len(page))
    return page + rebuild.page(reader_id, below) if below else page


def _below_floor(listed: Listed, window: Window, shown: int) -> Window | None:
    """What is left of the window at and below the list's floor, if anything."""
    beneath = listed.floor + 1 if window.max_id is None else min(window.max_id, listed.floor + 1)
    if shown > window.limit or beneath <= (window.since_id or 0) + 1:
        return None
    return replace(window, max_id=beneath, limit=window.limit - shown)
