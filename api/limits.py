"""Rate limits: fixed windows, counted in Redis by user or, without a user, by address."""

import math
import time
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api import access
from api.addresses import counted_address
from backends import valkey

LOGINS = "logins"
# Requests, and the seconds of their window.
DEFAULTS = {"posts": (300, 3 * 3600), "requests": (900, 900), LOGINS: (10, 900)}


class Exceeded(Throttled):
    """A 429 with Retry-After and the headers of the usage."""

    def __init__(self, usage: "Usage") -> None:
        super().__init__(wait=usage.seconds_left)
        self.usage = usage


class Usage(NamedTuple):
    """The state of a window. `remaining` is below 0 when the limit is exceeded."""

    limit: int  # requests in all
    remaining: int
    seconds_left: int

    @classmethod
    def of(cls, limit: int, used: int, milliseconds_left: int) -> "Usage":
        """Return the usage of a window after `used` requests."""
        return cls(limit, limit - used, max(1, math.ceil(milliseconds_left / 1000)))

    def check(self) -> None:
        """Raise Exceeded if the limit is exceeded."""
        if self.remaining < 0:
            raise Exceeded(self)

    def headers(self) -> dict[str, str]:
        """Return the headers that report it. X-RateLimit-Reset is in seconds since 1970."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.remaining, 0)),
            "X-RateLimit-Reset": str(int(time.time()) + self.seconds_left),
        }


def rate(scope: str) -> tuple[int, int] | None:
    """Return the requests and seconds of a limit, or None if there is none.

    The scope is "posts", "requests" or "logins". By default an open API limits only logins, because
    it can't tell its users apart.
    """
    if scope in settings.TWIT_LIMITS:
        return settings.TWIT_LIMITS[scope]
    return None if access.is_open() and scope != LOGINS else DEFAULTS[scope]


def key(scope: str, kind: str, counted: str | int) -> str:
    """Return the key of a counter. Users, addresses and other kinds don't share keys."""
    return f"limit:{scope}:{kind}:{counted}"


def counting(counter: str, seconds: int) -> list[valkey.Command]:
    """Return the commands that count once. Replies: the count, 0 or 1, milliseconds left."""
    return [("INCR", counter), ("EXPIRE", counter, seconds, "NX"), ("PTTL", counter)]


def count(scope: str, request: HttpRequest | Request, user_id: int | None = None) -> Usage | None:
    """Count the request against its user, or without one against its address.

    Return the usage, or None if nothing is limited. Without Redis nothing is limited, because
    serving is more important.
    """
    limit = rate(scope)
    if limit is None:
        return None
    most, seconds = limit
    if user_id:
        counter = key(scope, "user", user_id)
    else:
        counter = key(scope, "address", counted_address(request))
    try:
        with valkey.server("LIMITS_URL").connection() as connection:
            replies = connection.ask(*counting(counter, seconds))
    except valkey.Unavailable:
        return None
    used, _, milliseconds = cast("list[int]", replies)
    return Usage.of(most, used, milliseconds)


class Limit(BaseThrottle):
    """The limit of the view's `throttle_scope`, and the headers that report its usage."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request. Raises Exceeded."""
        scope = getattr(view, "throttle_scope", "requests")
        usage = count(scope, request, request.user.pk)
        if usage:
            view.headers |= usage.headers()
            usage.check()
        return True
