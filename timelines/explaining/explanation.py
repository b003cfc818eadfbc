"""The explanation of a home timeline, which the command prints and the admin shows."""

from collections.abc import Sequence
from typing import NamedTuple

from timelines.explaining import facts, words
from timelines.explaining.facts import ListFacts
from timelines.explaining.reasons import verdict
from timelines.explaining.words import Fact
from users.models import User

NEWEST = 20  # entries that are explained one by one, from the head of the list


class ExplainedEntry(NamedTuple):
    """An entry of the list, and where it is shown or why it is not."""

    place: int  # in the list; its head is 1
    tweet_id: int
    author_id: int
    text: str


class Explanation(NamedTuple):
    """Why a reader's home timeline is as it is."""

    reader: User
    answer: str  # to the question about the tweet, or about the list
    tweet: Sequence[Fact]  # empty if no tweet is asked about
    listed: Sequence[Fact]
    entries: Sequence[ExplainedEntry]


def explain(reader_id: int, tweet_id: int | None = None) -> Explanation:
    """Explain the reader's home timeline, and one tweet. It changes nothing.

    Raises User.DoesNotExist.
    """
    reader = User.objects.get(pk=reader_id)
    tweet = facts.of_tweets(reader, [tweet_id])[tweet_id] if tweet_id else None
    listed = facts.of_list(reader)
    answer, about_tweet = words.state(listed), list[Fact]()
    if tweet:
        found = verdict(listed, tweet, listed.pages_down_to(tweet.tweet_id))
        answer = words.sentence(found, listed, tweet)
        about_tweet = list(words.about_tweet(listed, tweet))
    return Explanation(
        reader,
        answer=answer,
        tweet=about_tweet,
        listed=list(words.about_list(listed)),
        entries=_entries(listed),
    )


def _entries(listed: ListFacts) -> list[ExplainedEntry]:
    """Return the newest entries."""
    elements = listed.inspected.elements if listed.inspected else []
    newest = [(place, entry) for place, entry in enumerate(elements, start=1) if entry][:NEWEST]
    if not newest:
        return []
    tweet_ids = {entry.tweet_id for _, entry in newest}
    tweets, pages = facts.of_tweets(listed.reader, tweet_ids), listed.pages_down_to(min(tweet_ids))
    explained = []
    for place, entry in newest:
        tweet = tweets[entry.tweet_id]
        text = words.sentence(verdict(listed, tweet, pages), listed, tweet)
        explained.append(ExplainedEntry(place, *entry, text))
    return explained
