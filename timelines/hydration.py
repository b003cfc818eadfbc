"""From ids to displayable tweets."""

from collections.abc import Sequence

from tweets.models import Tweet
from tweets.serializers import DISPLAY_COLUMNS, DisplayedTweet, displayed


def hydrate(reader_id: int, tweet_ids: Sequence[int]) -> list[DisplayedTweet]:
    """Those of the tweets that stand in the reader's home timeline now, newest first.

    The join on `follow` certifies each: a deleted tweet or an author who is not followed any
    more can't be shown, whatever a list in Redis still says.
    """
    tweets = Tweet.objects.filter(pk__in=tweet_ids, author__followed_by__follower_id=reader_id)
    return [displayed(row) for row in tweets.newest_first().values_list(*DISPLAY_COLUMNS)]
