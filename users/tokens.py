"""Creating and listing tokens."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from knox.models import AuthToken
from knox.settings import CONSTANTS

from api.access import log
from users.models import User

MAX_TOKENS = 100  # of one user
# knox stores the first 15 of a token's 64 digits in clear. The other 196 bits are the secret.
KEY_PATTERN = f"[0-9a-f]{{{CONSTANTS.TOKEN_KEY_LENGTH}}}"


def valid(user_id: int) -> QuerySet[AuthToken]:
    """Return the user's valid tokens, newest first."""
    tokens: QuerySet[AuthToken] = AuthToken.objects.filter(
        Q(expiry__gt=Now()) | Q(expiry=None), user=user_id
    )
    return tokens.order_by("-created", "digest")


def issue(user: User, lifetime: timedelta) -> tuple[AuthToken, str]:
    """Create and return a token. Beyond MAX_TOKENS, those that expire first are revoked.

    Raises User.DoesNotExist if the password has changed since `user` was read. That revoked all
    tokens, and the lock keeps this one from being created just after it.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk, password=user.password)
        tokens = AuthToken.objects.filter(user=user)
        last_first = tokens.order_by(F("expiry").desc(nulls_first=True)).values("pk")
        revoke(tokens.filter(pk__in=last_first[MAX_TOKENS - 1 :]), "it made room for another one")
        created: tuple[AuthToken, str] = AuthToken.objects.create(user, expiry=lifetime)
    token = created[0]
    log.info("Token %s of user %s was created, until %s", token.token_key, user.pk, token.expiry)
    return created


def revoke(tokens: QuerySet[AuthToken], how: str) -> bool:
    """Delete the tokens. Return whether there were any."""
    found = list(tokens.values_list("digest", "token_key", "user_id"))
    deleted: int
    deleted, _ = AuthToken.objects.filter(digest__in=[digest for digest, *_ in found]).delete()
    for _, token_key, user_id in found:
        log.info("Token %s of user %s was revoked: %s", token_key, user_id, how)
    return deleted > 0
