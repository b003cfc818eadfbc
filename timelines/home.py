"""One page of a home timeline, from the list while it reaches and from Postgres below it."""

from timelines import hydration, rebuild, store
from tweets.paging import Window
from tweets.serializers import DisplayedTweet
from users.models import User


def home_page(reader_id: int, window: Window) -> list[DisplayedTweet]:
    """The page's tweets, and one more when there are older ones in the window.

    Entries that hydration drops are made up for from further down, so a page is short only at
    the window's end. Raises User.DoesNotExist when there is no such reader.
    """
    listed = store.read(reader_id)
    if listed is None:
        listed = rebuild.rebuild(reader_id)
    wanted = window.limit + 1
    page: list[DisplayedTweet] = []
    candidates = [tweet_id for tweet_id in listed.tweet_ids if window.covers(tweet_id)]
    while candidates and len(page) < wanted:
        missing = wanted - len(page)
        page += hydration.hydrate(reader_id, candidates[:missing])
        candidates = candidates[missing:]
    if len(page) < wanted and not listed.is_whole:
        page += _older_page(reader_id, listed, window, wanted - len(page))
    if not page:
        User.objects.only("id").get(pk=reader_id)
    return page


def _older_page(
    reader_id: int, listed: store.Listed, window: Window, missing: int
) -> list[DisplayedTweet]:
    if listed.tweet_ids:
        lowest = listed.tweet_ids[-1]
        window = window.below(min(lowest, window.max_id or lowest), missing)
    entries = rebuild.read(reader_id, window)
    return hydration.hydrate(reader_id, [entry.tweet_id for entry in entries])
