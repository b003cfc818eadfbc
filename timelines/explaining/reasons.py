"""Why a reader sees a tweet, or does not."""

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import NamedTuple

from backends.valkey import Unavailable
from timelines.explaining.facts import ListFacts, TweetFacts
from timelines.verify import verify


class Reason(StrEnum):
    """Where a shown tweet comes from, or why it is not shown."""

    # Shown
    LISTED = auto()
    FLAGGED = auto()
    BELOW_FLOOR = auto()
    TRIMMED = auto()
    NOT_BELIEVED = auto()
    ABSENT = auto()
    UNREACHABLE = auto()
    # Not shown
    DELETED = auto()
    NOT_FOLLOWED = auto()
    UNFOLLOWED = auto()
    FAILING = auto()
    UNDER_WAY = auto()
    PENDING = auto()
    MISSING = auto()
    CHANGED = auto()


class Verdict(NamedTuple):
    """What is true of one tweet for one reader."""

    reason: Reason
    is_shown: bool
    page: int | None = None  # of the default limit, from 1; None if not shown, or too deep to say


def verdict(facts: ListFacts, tweet: TweetFacts, pages: Mapping[int, int]) -> Verdict:
    """Return whether the reader's pages show the tweet, and why.

    `pages` is what `pages_down_to` returned for this tweet or for a lower id.
    """
    if page := pages.get(tweet.tweet_id):
        return Verdict(_why_shown(facts, tweet.tweet_id), True, page)
    if facts.shows(tweet.tweet_id):
        return Verdict(_why_shown(facts, tweet.tweet_id), True)
    return Verdict(_why_not_shown(facts, tweet), False)


def _why_shown(facts: ListFacts, tweet_id: int) -> Reason:
    if facts.inspected is None:
        return Reason.UNREACHABLE if facts.failure else Reason.ABSENT
    if facts.doubt:
        return Reason.NOT_BELIEVED
    places = facts.inspected.places(tweet_id)
    if tweet_id <= facts.inspected.listed.floor:
        return Reason.BELOW_FLOOR if places else Reason.TRIMMED
    return Reason.LISTED if places else Reason.FLAGGED


def _why_not_shown(facts: ListFacts, tweet: TweetFacts) -> Reason:
    if tweet.tweet is None:
        return Reason.DELETED
    is_listed = facts.inspected is not None and bool(facts.inspected.places(tweet.tweet_id))
    if tweet.followed_at is None:
        return Reason.UNFOLLOWED if is_listed else Reason.NOT_FOLLOWED
    for row in tweet.deliveries_to(facts):
        if row.attempts:
            return Reason.FAILING
        return Reason.UNDER_WAY if row.has_begun else Reason.PENDING
    if not is_listed and _is_missing(facts.reader.pk, tweet.tweet_id):
        return Reason.MISSING
    return Reason.CHANGED


def _is_missing(reader_id: int, tweet_id: int) -> bool:
    """Return whether the believed list lacks the tweet although it was delivered."""
    try:
        finding = verify(reader_id)
    except Unavailable:
        return False
    return finding is not None and finding.is_wrong and tweet_id in finding.missing
