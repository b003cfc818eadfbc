"""Creating tokens."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from knox.models import AuthToken

from users.models import User

MAX_TOKENS = 100  # of one user


def issue(user: User, lifetime: timedelta) -> tuple[AuthToken, str]:
    """Create and return a token. The user's tokens that expire first make room for it.

    Raises User.DoesNotExist if the password is another one than when `user` was read. A change of
    the password revokes all tokens; the lock keeps this one from slipping in behind it.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk, password=user.password)
        tokens = AuthToken.objects.filter(user=user)
        last_first = tokens.order_by(F("expiry").desc(nulls_first=True)).values("pk")
        tokens.filter(pk__in=last_first[MAX_TOKENS - 1 :]).delete()
        created: tuple[AuthToken, str] = AuthToken.objects.create(user, expiry=lifetime)
        return created
