"""POSTs that may be sent again: Idempotency-Key, as the IETF's draft of that name has it."""

import hashlib
import re
from datetime import timedelta

from django.db.models.functions import Now
from rest_framework.exceptions import APIException, ValidationError

from tweets.models import DisplayRow, IdempotencyKey, announce
from users.postgres import binary_cursor

HEADER = "Idempotency-Key"
VALID = timedelta(hours=24, minutes=1)  # as POST_ONCE has it, and between two statements
KEPT = timedelta(hours=25)  # longer, so that none goes while it is looked at

# $1: the author, $2: the message, $3: the user, $4: the key, $5: the fingerprint. One row for a new
# tweet; none if the key is taken, or author or user are not there. Of two statements at once with
# the same key one waits for the other's end at the key's unique index.
POST_ONCE = """
    WITH author AS (
        SELECT id, username FROM users_user WHERE id = $1 FOR KEY SHARE
    ), sender AS (
        SELECT id FROM users_user WHERE id = $3 FOR KEY SHARE
    ), kept AS (
        INSERT INTO tweets_idempotencykey AS old
            (user_id, key, fingerprint, tweet_id, username, created_at)
        SELECT sender.id, $4, $5, nextval(pg_get_serial_sequence('tweets_tweet', 'id')),
               author.username, statement_timestamp()
        FROM author, sender
        ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, tweet_id = excluded.tweet_id,
            username = excluded.username, created_at = excluded.created_at
        WHERE old.created_at <= statement_timestamp() - interval '24 hours'
        RETURNING tweet_id, username, created_at
    ), posted AS (
        INSERT INTO tweets_tweet (id, author_id, message, created_at)
        SELECT tweet_id, $1, $2, created_at FROM kept
        RETURNING id, author_id, message, created_at
    )
    SELECT posted.id, posted.author_id, kept.username, posted.message, posted.created_at
    FROM posted, kept
"""


class KeyReused(APIException):
    """422: the key came with another body before."""

    status_code = 422
    default_code = "key_reused"


def post_once(user_id: int, key: str, *, author_id: int, message: str) -> DisplayRow | None:
    """Store a tweet, unless the user's key has stored it already; as displayed then.

    None if there is no such author. Raises ValidationError for what is no key, and KeyReused if
    the key stands for another author or message. Key and tweet are one statement's: a process that
    dies leaves both or neither.
    """
    if not re.fullmatch(r"[!-~]{1,255}", key):
        raise ValidationError({HEADER: ["1 to 255 visible ASCII characters are needed."]})
    fingerprint = hashlib.sha256(f"{author_id} {message}".encode()).digest()
    with binary_cursor() as cursor:
        cursor.execute(POST_ONCE, [author_id, message, user_id, key, fingerprint])
        row: DisplayRow | None = cursor.fetchone()
    if row is not None:
        announce(row)
        return row
    valid = IdempotencyKey.objects.filter(created_at__gt=Now() - VALID)
    first = valid.filter(user_id=user_id, key=key).first()
    if first is None:
        return None
    if bytes(first.fingerprint) != fingerprint:
        raise KeyReused({HEADER: ["This key was used for another tweet; take a new one."]})
    return first.tweet_id, author_id, first.username, message, first.created_at


def clear_keys() -> None:
    """Delete keys that are no longer valid."""
    IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT).delete()
