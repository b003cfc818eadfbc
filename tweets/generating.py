"""Generated tweets, and how they are stored."""

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import accumulate, islice

from django.utils import timezone
from django.utils.lorem_ipsum import WORDS

from tweets.models import Tweet

# The tweets that one transaction inserts, in some 0.2 s.
PIECE_TWEETS = 5_000
PERIOD = timedelta(days=30)


def random_tweets(authors: Sequence[int], seed: int) -> Iterator[Tweet]:
    """Yield tweets endlessly. The authors' ids and the seed determine each author and message.

    The number of tweets per author has a log-normal distribution. With a sigma of 2.12, a tenth of
    the authors write 80% of the tweets, as on Twitter (Pew Research Center: "Sizing Up Twitter
    Users", 2019).
    """
    rng = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    weights = list(accumulate(rng.lognormvariate(0, 2.12) for _ in authors))
    while True:
        [author_id] = rng.choices(authors, cum_weights=weights)
        words = rng.choices(WORDS, k=rng.randint(2, 15))
        yield Tweet(author_id=author_id, message=f"{' '.join(words).capitalize()}.")


def missing_tweets(tweets: Iterator[Tweet], stored: int, total: int) -> Iterator[Tweet]:
    """Yield `tweets` from number `stored` to `total`, so that a run goes on where one ended.

    Their times are spread over the 30 days before now, or over the time since the newest tweet if
    that is shorter.
    """
    now = timezone.now()
    newest = Tweet.objects.order_by("-pk").values_list("created_at", flat=True).first()
    start = max(now - PERIOD, min(newest or now - PERIOD, now))
    for number, tweet in enumerate(islice(tweets, stored, total), start=1):
        tweet.created_at = start + (now - start) * (number / (total - stored))
        yield tweet


def store(tweets: Iterable[Tweet]) -> int:
    """Store the tweets in pieces, each in a transaction of its own. Return how many there were.

    Like all tweets they are delivered, but no worker is woken: the workers' sweeps find them.
    """
    left, stored = iter(tweets), 0
    while piece := list(islice(left, PIECE_TWEETS)):
        stored += len(Tweet.objects.bulk_create(piece))
    return stored
