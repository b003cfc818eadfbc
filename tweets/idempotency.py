"""POSTs that are safe to retry: `Idempotency-Key`, after the IETF draft of that name."""

import hashlib
import re
from datetime import timedelta
from typing import NamedTuple

from django.db.models.functions import Now
from rest_framework.exceptions import APIException, ValidationError

from tweets.displayed import DisplayedTweet
from tweets.models import IdempotencyKey, Tweet
from tweets.posting import sender, statement, store
from users.authentication import Bearer

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEY_PATTERN = "[!-~]{1,255}"
VALID = timedelta(hours=24, minutes=1)  # POST_ONCE's 24 hours, and the time between two statements

# $1: author, $2: message, $3: digest, $4: user, $5: key, $6: fingerprint. No row if the key is
# taken, if the token is not valid, or if the author or user does not exist. Of two concurrent
# statements with the same key, one waits at the key's unique index until the other has ended. Later
# retries must not take an id for a tweet: an id that is not used holds back what is settled
# (tweets/settled.py).
POST_ONCE = statement(
    sender("$4"),
    """slot AS (
        INSERT INTO tweets_idempotencykey AS old
            (user_id, key, fingerprint, tweet_id, username, created_at)
        SELECT sender.id, $5, $6, nextval('tweets_tweet_id_seq'), author.username,
               statement_timestamp()
        FROM author, sender
        WHERE (
            SELECT true FROM tweets_idempotencykey WHERE user_id = $4 AND key = $5::varchar
            AND created_at > statement_timestamp() - interval '24 hours'
        ) IS NULL
        ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, tweet_id = excluded.tweet_id,
            username = excluded.username, created_at = excluded.created_at
        WHERE old.created_at <= statement_timestamp() - interval '24 hours'
        RETURNING tweet_id AS id, created_at
    )""",
)


class KeyReused(APIException):
    """The key was used with another body before."""

    status_code = 422
    default_detail = {HEADER: ["This key was used for another tweet; use a new one."]}
    default_code = "key_reused"


class TweetGone(APIException):
    """The key has stored a tweet, which was deleted later."""

    status_code = 410
    default_code = "gone"

    def __init__(self, tweet_id: int) -> None:
        super().__init__(
            f"Tweet {tweet_id} was posted with this {HEADER} and has been deleted since."
        )


class Posted(NamedTuple):
    """What a POST with a key stored, now or before. `tweet` is None if there is no such author."""

    tweet: DisplayedTweet | None
    is_replay: bool


def post_once(
    user_id: int, key: str, author_id: int, message: str, bearer: Bearer | None = None
) -> Posted:
    """Store a tweet unless the user's key has stored it already. Return it as first displayed.

    One statement stores key and tweet, so a process that dies leaves both or neither. `bearer` is
    the user's. Raises ValidationError for a malformed key, KeyReused, TweetGone and InvalidToken.
    """
    if not re.fullmatch(KEY_PATTERN, key):
        raise ValidationError({HEADER: ["1 to 255 visible ASCII characters are needed."]})
    fingerprint = hashlib.sha256(f"{author_id} {message}".encode()).digest()
    tweet = store(POST_ONCE, bearer, [author_id, message, user_id, key, fingerprint])
    if tweet is not None:
        return Posted(tweet, is_replay=False)
    valid = IdempotencyKey.objects.filter(created_at__gt=Now() - VALID)
    first = valid.filter(user_id=user_id, key=key).first()
    if first is None:
        return Posted(None, is_replay=False)
    if bytes(first.fingerprint) != fingerprint:
        raise KeyReused
    if not Tweet.objects.filter(pk=first.tweet_id).exists():
        raise TweetGone(first.tweet_id)
    tweet = DisplayedTweet(first.tweet_id, author_id, first.username, message, first.created_at)
    return Posted(tweet, is_replay=True)
