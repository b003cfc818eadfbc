"""What a request was allowed by, so that it can be checked again while its response lasts."""

from collections.abc import Collection
from importlib import import_module
from typing import NamedTuple, Self

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.request import Request

from backends.postgres import binary_cursor
from users.authentication import BEARER, Bearer, find_bearer
from users.models import User

_REVOKED = f"""
    SELECT asked.digest FROM unnest($1::text[]) AS asked(digest)
    WHERE (SELECT true FROM ({BEARER.replace("$1", "asked.digest")}) AS bearer) IS NULL
"""  # noqa: S608 (joined from constants)


class Grant(NamedTuple):
    """A token or a session. An open API needs neither."""

    digest: str = ""  # of the token
    session_key: str = ""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return what the request was authenticated by."""
        if isinstance(request.auth, Bearer):
            return cls(digest=request.auth.digest)
        return cls(session_key=request.session.session_key or "")

    def user(self) -> User | None:
        """Return the user, or None if the token or the session is no longer valid."""
        if self.digest:
            return find_bearer(self.digest)
        request = HttpRequest()
        engine = import_module(settings.SESSION_ENGINE)
        request.session = engine.SessionStore(self.session_key)
        user: User | AnonymousUser = get_user(request)
        return user if isinstance(user, User) and user.is_active else None


def revoked(digests: Collection[str]) -> set[str]:
    """Return those digests that are not of a valid token of an active user."""
    tokens = [digest for digest in digests if digest]
    if not tokens:
        return set()
    with binary_cursor() as cursor:
        cursor.execute(_REVOKED, [tokens])
        return {digest for (digest,) in cursor.fetchall()}
