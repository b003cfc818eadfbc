"""POSTs that are safe to retry: `Idempotency-Key`, after the IETF draft of that name."""

import hashlib
import re
from datetime import timedelta

from django.db.models.functions import Now
from rest_framework.exceptions import APIException, ValidationError

from tweets.models import DisplayedTweet, IdempotencyKey
from tweets.posting import statement, store

HEADER = "Idempotency-Key"
KEY_PATTERN = "[!-~]{1,255}"
VALID = timedelta(hours=24, minutes=1)  # POST_ONCE's 24 hours, and the time between two statements

# $1: author, $2: message, $3: user, $4: key, $5: fingerprint. No row if the key is taken, or if the
# author or user does not exist. Of two concurrent statements with the same key, one waits at the
# key's unique index until the other has ended.
POST_ONCE = statement(
    "sender AS (SELECT id FROM users_user WHERE id = $3 FOR KEY SHARE)",
    """slot AS (
        INSERT INTO tweets_idempotencykey AS old
            (user_id, key, fingerprint, tweet_id, username, created_at)
        SELECT sender.id, $4, $5, nextval('tweets_tweet_id_seq'), author.username,
               statement_timestamp()
        FROM author, sender
        ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, tweet_id = excluded.tweet_id,
            username = excluded.username, created_at = excluded.created_at
        WHERE old.created_at <= statement_timestamp() - interval '24 hours'
        RETURNING tweet_id AS id, created_at
    )""",
)


class KeyReused(APIException):
    """The key came with another body before."""

    status_code = 422
    default_code = "key_reused"


def post_once(user_id: int, key: str, *, author_id: int, message: str) -> DisplayedTweet | None:
    """Store a tweet unless the user's key has stored it already. Return it as first displayed.

    One statement stores key and tweet, so a process that dies leaves both or neither. None if there
    is no such author. Raises ValidationError for a malformed key, and KeyReused.
    """
    if not re.fullmatch(KEY_PATTERN, key):
        raise ValidationError({HEADER: ["1 to 255 visible ASCII characters are needed."]})
    fingerprint = hashlib.sha256(f"{author_id} {message}".encode()).digest()
    tweet = store(POST_ONCE, [author_id, message, user_id, key, fingerprint])
    if tweet is not None:
        return tweet
    valid = IdempotencyKey.objects.filter(created_at__gt=Now() - VALID)
    first = valid.filter(user_id=user_id, key=key).first()
    if first is None:
        return None
    if bytes(first.fingerprint) != fingerprint:
        raise KeyReused({HEADER: ["This key was used for another tweet; use a new one."]})
    return DisplayedTweet(first.tweet_id, author_id, first.username, message, first.created_at)
