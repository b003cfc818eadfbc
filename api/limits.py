"""Rate limits: fixed windows, counted in Redis by user or, without a user, by address."""

import math
import time
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api import access
from api.addresses import counted_address
from backends import metrics, valkey
from backends.servers import server

LOGINS = "logins"
SIGN_UPS = "sign_ups"
# These count by address even if the user is known, and also in an open API.
BY_ADDRESS = {LOGINS, SIGN_UPS}
# Requests, and the seconds of their window.
DEFAULTS = {
    "posts": (300, 3 * 3600),
    "follows": (400, 24 * 3600),
    "requests": (900, 900),
    LOGINS: (10, 900),
    SIGN_UPS: (10, 3600),
}


class Exceeded(Throttled):
    """A 429 with Retry-After and the headers of the usage."""

    def __init__(self, usage: "Usage") -> None:
        super().__init__(wait=usage.seconds_left)
        self.usage = usage


class Usage(NamedTuple):
    """The state of a window. `remaining` is below 0 when the limit is exceeded."""

    scope: str
    limit: int  # requests in all
    seconds: int
    remaining: int
    seconds_left: int

    @classmethod
    def of(cls, scope: str, limit: tuple[int, int], used: int, milliseconds_left: int) -> "Usage":
        """Return the usage of a window after `used` requests."""
        most, seconds = limit
        return cls(scope, most, seconds, most - used, max(1, math.ceil(milliseconds_left / 1000)))

    def check(self) -> None:
        """Raise Exceeded if the limit is exceeded."""
        if self.remaining < 0:
            metrics.LIMITS_HIT.labels(self.scope).inc()
            raise Exceeded(self)

    def headers(self) -> dict[str, str]:
        """Return the headers that report it: those that many APIs send, and the IETF draft's."""
        scope, limit, seconds, remaining, seconds_left = self
        remaining = max(remaining, 0)
        return {
            "RateLimit": f'"{scope}";r={remaining};t={seconds_left}',
            "RateLimit-Policy": f'"{scope}";q={limit};w={seconds}',
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(int(time.time()) + seconds_left),
        }


def rate(scope: str) -> tuple[int, int] | None:
    """Return the requests and seconds of a limit, or None if there is none.

    The scope is a key of DEFAULTS. By default an open API limits only logins and sign-ups, because
    it can't tell its users apart.
    """
    if scope in settings.TWIT_LIMITS:
        return settings.TWIT_LIMITS[scope]
    return None if access.is_open() and scope not in BY_ADDRESS else DEFAULTS[scope]


def key(scope: str, kind: str, counted: str | int) -> str:
    """Return the key of a counter. Users, addresses and other kinds don't share keys."""
    return f"limit:{scope}:{kind}:{counted}"


def counting(counter: str, seconds: int) -> list[valkey.Command]:
    """Return the commands that count once. Replies: the count, 0 or 1, milliseconds left."""
    return [("INCR", counter), ("EXPIRE", counter, seconds, "NX"), ("PTTL", counter)]


class Refused:
    """The counters beyond their limits, so that a process serves no such request for a while.

    A request whose usage is checked only after it was served costs as much as any other.
    """

    SECONDS = 1.0
    MOST = 10_000  # counters; beyond that, all are dropped

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, Usage]] = {}  # by counter; monotonic seconds

    def add(self, counter: str, usage: Usage, seconds_left: float) -> None:
        if len(self._until) >= self.MOST:
            self._until.clear()
        self._until[counter] = time.monotonic() + min(seconds_left, self.SECONDS), usage

    def check(self, counter: str) -> None:
        """Raise Exceeded if the counter is one of them."""
        if self._until:
            until, usage = self._until.get(counter, (0.0, None))
            if usage and time.monotonic() < until:
                usage.check()


refused = Refused()


class Counted:
    """A request that is being counted. Its usage is known when Redis has answered."""

    def __init__(self, scope: str, limit: tuple[int, int], counter: str) -> None:
        self._of, self._counter = (scope, limit), counter
        self._server = server("LIMITS_URL")
        self._replies: list[valkey.Reply] | None = None
        with suppress(valkey.Unavailable), self._server.connection() as connection:
            self._replies = connection.ask_early(*counting(counter, limit[1]))

    def usage(self) -> Usage | None:
        """Return the usage, or None if Redis fails: then the request is served without a limit."""
        if self._replies is None:
            return None
        try:
            with self._server.connection() as connection:
                connection.catch_up()
                valkey.check(self._replies)
        except valkey.Unavailable:
            return None
        if not self._replies:  # their connection was lost
            return None
        used, _, milliseconds = cast("list[int]", self._replies)
        usage = Usage.of(*self._of, used, milliseconds)
        if usage.remaining < 0:
            refused.add(self._counter, usage, milliseconds / 1000)
        return usage


def begin(scope: str, request: HttpRequest | Request, user_id: int | None = None) -> Counted | None:
    """Begin to count the request against its user, or without one against its address.

    Return None if nothing is limited. Raises Exceeded if the limit was exceeded a moment ago.
    """
    limit = rate(scope)
    if limit is None:
        return None
    if user_id:
        counter = key(scope, "user", user_id)
    else:
        counter = key(scope, "address", counted_address(request))
    refused.check(counter)
    return Counted(scope, limit, counter)


def count(scope: str, request: HttpRequest | Request, user_id: int | None = None) -> Usage | None:
    """Count the request as `begin` does. Return its usage, or None without a limit or Redis."""
    counted = begin(scope, request, user_id)
    return counted.usage() if counted else None


class Limit(BaseThrottle):
    """The limit of the view's `throttle_scope`, and the headers that report its usage."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request. Raises Exceeded, unless the view checks that at the end."""
        scope = getattr(view, "throttle_scope", "requests")
        counted = begin(scope, request, None if scope in BY_ADDRESS else request.user.pk)
        if counted:
            check = partial(self._check, counted, view)
            if getattr(view, "checks_at_end", False):
                view.checks.append(check)
            else:
                check()
        return True

    @staticmethod
    def _check(counted: Counted, view: Any) -> None:
        if usage := counted.usage():
            view.headers |= usage.headers()
            usage.check()
