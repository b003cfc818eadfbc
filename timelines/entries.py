"""Entries of home timelines and their bytes."""

from typing import NamedTuple, Self

from timelines.tweet_lite_pb2 import TweetLite


class Entry(NamedTuple):
    """One tweet in a home timeline."""

    tweet_id: int
    author_id: int

    def encode(self) -> bytes:
        """The serialised TweetLite: the same bytes each time, so a list can be searched for it.

        Raises ValueError for ids that are no unsigned 64-bit integers.
        """
        message = TweetLite(tweet_id=self.tweet_id, user_id=self.author_id)
        return message.SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """The entry that `encode` gave. Raises google.protobuf's DecodeError for other bytes."""
        message = TweetLite.FromString(encoded)
        return cls(message.tweet_id, message.user_id)
