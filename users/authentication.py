"""`Authorization: Bearer <token>`, with tokens as knox creates and stores them."""

import math
import time
from functools import partial
from typing import Any, cast

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.crypto import hash_token
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api import logs
from api.access import Guarded
from api.addresses import counted_address
from api.limits import Exceeded, Usage, count
from backends.postgres import binary_cursor
from users.models import User

SCHEMES = (b"bearer", b"token")  # older clients send "token"
CHALLENGE = 'Bearer realm="Twit"'  # RFC 6750 demands a parameter
# $1: the digest of a token. The columns of the user are BEARER_FIELDS.
BEARER = """
    SELECT id, is_superuser, username, is_staff, is_active
    FROM knox_authtoken AS token JOIN users_user AS bearer ON bearer.id = token.user_id
    WHERE token.digest = $1 AND (token.expiry > now() OR token.expiry IS NULL)
    AND bearer.is_active
"""
BEARER_FIELDS = ["id", "is_superuser", "username", "is_staff", "is_active"]


def is_bearer(user: str, digest: str) -> str:
    """Return the SQL expression for whether the digest is that of a valid token of a `user` row.

    A statement that reads the user's own data certifies the token too: 30 us instead of 130. The
    subquery hides a null from the planner, which would otherwise plan the statement each time.
    """
    return f"""(
        SELECT {user}.is_active FROM knox_authtoken AS token
        WHERE token.digest = (SELECT {digest}::text) AND token.user_id = {user}.id
        AND (token.expiry > now() OR token.expiry IS NULL)
    ) IS TRUE"""  # noqa: S608 (joined from constants)


class InvalidToken(AuthenticationFailed):
    """A 401."""

    default_detail = "Invalid token: unknown, expired or revoked."


class InvalidTokens:
    """The limit of invalid tokens. Each counts as a request from its address.

    A process remembers which addresses are over the limit. So their tokens are refused without a
    statement, and a valid token costs no round trip to Redis. It also remembers tokens that were
    valid, with their users, and accepts those: they may belong to somebody else at that address.
    """

    MOST = 10_000  # addresses, and tokens; beyond that, all are dropped

    def __init__(self) -> None:
        self._refused_until: dict[str, tuple[float, Usage]] = {}  # by address; monotonic seconds
        self._valid: dict[str, int] = {}  # users by digest

    def check(self, request: Request, digest: str) -> None:
        """Raise Exceeded if the address is over its limit and the token has not been valid."""
        if not self._refused_until or digest in self._valid:
            return
        until, usage = self._refused_until.get(counted_address(request), (0.0, None))
        seconds_left = math.ceil(until - time.monotonic())
        if usage and seconds_left > 0:
            raise Exceeded(usage._replace(seconds_left=seconds_left))

    def count(self, request: Request, digest: str) -> None:
        """Count an invalid token. Raises Exceeded."""
        self._valid.pop(digest, None)
        usage = count("requests", request)
        if usage and usage.remaining <= 0:
            if len(self._refused_until) >= self.MOST:
                self._refused_until.clear()
            until = time.monotonic() + usage.seconds_left
            self._refused_until[counted_address(request)] = until, usage
            usage.check()

    def remember_valid(self, digest: str, user_id: int) -> None:
        if len(self._valid) >= self.MOST:
            self._valid.clear()
        self._valid[digest] = user_id

    def user_of(self, digest: str) -> int | None:
        """Return the user of a token that was valid before."""
        return self._valid.get(digest)


invalid_tokens = InvalidTokens()


class Bearer:
    """The token of a request."""

    def __init__(self, request: Request, digest: str) -> None:
        self.digest = digest
        self.is_valid: bool | None = None  # not known yet
        self._request = request

    def confirm(self) -> None:
        """Return if it is valid. Raises InvalidToken, or Exceeded after many invalid ones."""
        if self.is_valid is None:
            user = find_bearer(self.digest)
            self.is_valid = user is not None
            if user:  # with what is known of it now
                self._request.user = user
        if not self.is_valid:
            raise self.refusal()

    def refusal(self) -> InvalidToken:
        """Count an invalid token and return the error. Raises Exceeded."""
        invalid_tokens.count(self._request, self.digest)
        return InvalidToken()


class TokenAuthentication(BaseAuthentication):
    """Finds a token's user with one short statement, 250 us.

    knox's own two take 1.5 ms; the second looks for expired tokens of the user, which a daily task
    deletes here.
    """

    def authenticate(self, request: Request) -> tuple[User, Bearer] | None:
        """Return the token's user, and the token; or None without a token.

        Raises InvalidToken, or Exceeded after many invalid tokens from the address. If the token
        was valid before, and the view `confirms` its user's tokens, the view's own statement finds
        out whether it still is, or otherwise the check at the end.
        """
        scheme, *words = get_authorization_header(request).split() or [b""]
        if scheme.lower() not in SCHEMES:
            return None
        token = b" ".join(words).decode("latin-1")
        bearer = Bearer(request, hash_token(token))
        invalid_tokens.check(request, bearer.digest)
        view: Any = (request.parser_context or {}).get("view")
        user_id = invalid_tokens.user_of(bearer.digest)
        user: User | None
        if user_id and isinstance(view, Guarded) and view.confirms(user_id):
            view.checks.append(bearer.confirm)
            user = User.from_db(None, ["id"], [user_id])
        else:
            user = find_bearer(bearer.digest) if token.isalnum() else None  # every token is
            if user is None:
                raise bearer.refusal()
            bearer.is_valid = True
            invalid_tokens.remember_valid(bearer.digest, user.pk)
        logs.name_user(user.pk)
        return user, bearer

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def unconfirmed(request: Request) -> Bearer | None:
    """Return the request's token if it is not known yet whether it is valid."""
    bearer = request.auth
    return bearer if isinstance(bearer, Bearer) and bearer.is_valid is None else None


def find_bearer(digest: str) -> User | None:
    """Return the active user of a valid token, with BEARER_FIELDS."""
    with binary_cursor() as cursor:
        row = cursor.execute(BEARER, [digest]).fetchone()
    return User.from_db(None, BEARER_FIELDS, row) if row else None


class SessionUserMiddleware(AuthenticationMiddleware):
    """Django's middleware, which finds a session's user on demand, and names it in the log."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = cast(AnonymousUser, SimpleLazyObject(partial(_named, request.user)))


def _named(user: User | AnonymousUser) -> User | AnonymousUser:
    if user.pk:
        logs.name_user(user.pk)
    return user


class TokenScheme(OpenApiAuthenticationExtension):
    """Token authentication in the OpenAPI document."""

    target_class = "users.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
