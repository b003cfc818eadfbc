"""`Authorization: Token <token>`, with tokens as knox creates and stores them."""

import math
import time

from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api.addresses import counted_address
from api.limits import Exceeded, Usage, count
from backends.postgres import binary_cursor
from users.models import User

SCHEME = "Token"
# $1: the digest of a token. The columns of the user are BEARER_FIELDS.
BEARER = """
    SELECT id, is_superuser, username, is_staff, is_active
    FROM knox_authtoken AS token JOIN users_user AS bearer ON bearer.id = token.user_id
    WHERE token.digest = $1 AND (token.expiry > now() OR token.expiry IS NULL)
"""
BEARER_FIELDS = ["id", "is_superuser", "username", "is_staff", "is_active"]


class InvalidTokens:
    """The limit of invalid tokens: they count as requests of their address.

    A process remembers which addresses are over the limit. So their tokens are refused without a
    statement, and a valid token costs no round trip to Redis. It also remembers tokens that were
    valid, and accepts those: they may belong to somebody else at that address.
    """

    MOST = 10_000  # addresses, and tokens; one more, and all are forgotten

    def __init__(self) -> None:
        self._refused_until: dict[str, tuple[float, Usage]] = {}  # by address; monotonic seconds
        self._valid: set[str] = set()  # digests

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
        self._valid.discard(digest)
        usage = count("requests", request)
        if usage and usage.remaining <= 0:
            if len(self._refused_until) >= self.MOST:
                self._refused_until.clear()
            until = time.monotonic() + usage.seconds_left
            self._refused_until[counted_address(request)] = until, usage
            usage.check()

    def remember_valid(self, digest: str) -> None:
        if len(self._valid) >= self.MOST:
            self._valid.clear()
        self._valid.add(digest)


invalid_tokens = InvalidTokens()


class TokenAuthentication(BaseAuthentication):
    """Finds a token's user with one short statement, 250 us.

    knox's own two take 1.5 ms; the second looks for expired tokens of the user, which a daily task
    deletes here.
    """

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        """Return the token's user with BEARER_FIELDS, and the token; or None without a token.

        Raises AuthenticationFailed, or Exceeded after many invalid tokens from the address.
        """
        scheme, *words = get_authorization_header(request).split() or [b""]
        if scheme.lower() != SCHEME.lower().encode():
            return None
        token = b" ".join(words).decode("latin-1")
        digest = hash_token(token)
        invalid_tokens.check(request, digest)
        user = find_bearer(digest) if token.isalnum() else None  # every token is
        if user is None or not user.is_active:
            invalid_tokens.count(request, digest)
            raise AuthenticationFailed("Invalid token: unknown, expired or revoked.")
        invalid_tokens.remember_valid(digest)
        return user, AuthToken(digest=digest, user=user)

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


def find_bearer(digest: str) -> User | None:
    """Return the user of a valid token, with BEARER_FIELDS."""
    with binary_cursor() as cursor:
        cursor.execute(BEARER, [digest])
        row = cursor.fetchone()
    return User.from_db(None, BEARER_FIELDS, row) if row else None


class TokenScheme(KnoxTokenScheme):
    """Token authentication in the OpenAPI document."""

    target_class = "users.authentication.TokenAuthentication"
    name = "token"
