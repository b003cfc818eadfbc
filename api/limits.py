"""Rate limits: fixed windows, counted in Redis by user or, without a user, by address."""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api import access
from backends import valkey

LOGINS = "logins"
# Requests, and the seconds of their window.
DEFAULTS = {"posts": (300, 3 * 3600), "requests": (900, 900), LOGINS: (10, 900)}


class Usage(NamedTuple):
    """The state of a window. `remaining` is below 0 when the limit is exceeded."""

    limit: int  # requests in all
    remaining: int
    seconds_left: int


def rate(scope: str) -> tuple[int, int] | None:
    """Return the requests and seconds of a limit, or None if there is none.

    The scope is "posts", "requests" or "logins". By default an open API limits only logins, because
    it can't tell its users apart.
    """
    if scope in settings.TWIT_LIMITS:
        return settings.TWIT_LIMITS[scope]
    return None if access.is_open() and scope != LOGINS else DEFAULTS[scope]


def count(scope: str, counters: Sequence[str], by: int = 1) -> Usage | None:
    """Add to every counter. Return the usage of the fullest, or None if nothing is limited.

    Without Redis nothing is limited, because serving is more important.
    """
    limit = rate(scope)
    if limit is None:
        return None
    most, seconds = limit
    commands: list[valkey.Command] = []
    for key in counters:
        commands += [("INCRBY", key, by), ("EXPIRE", key, seconds, "NX"), ("PTTL", key)]
    try:
        with valkey.server().connection() as connection:
            answers = cast("list[int]", connection.ask(*commands))
    except valkey.Unavailable:
        return None
    milliseconds = max(answers[2::3])
    return Usage(most, most - max(answers[::3]), max(1, math.ceil(milliseconds / 1000)))


class Limit(BaseThrottle):
    """The limit of the view's `throttle_scope`, and the headers that report its usage.

    X-RateLimit-Limit and -Remaining count requests; -Reset is in seconds since 1970.
    """

    scope = ""  # for subclasses
    seconds_left = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request and return whether it is within its limit."""
        scope = self.scope or getattr(view, "throttle_scope", "requests")
        usage = count(scope, self.counters(scope, request))
        if usage is None:
            return True
        self.seconds_left = usage.seconds_left
        view.headers |= {
            "X-RateLimit-Limit": str(usage.limit),
            "X-RateLimit-Remaining": str(max(usage.remaining, 0)),
            "X-RateLimit-Reset": str(int(time.time()) + usage.seconds_left),
        }
        return usage.remaining >= 0

    def counters(self, scope: str, request: Request) -> list[str]:
        """Return the keys that count the request: its user's, or the address's if nobody's."""
        return [f"limit:{scope}:{request.user.pk or self.get_ident(request)}"]

    def wait(self) -> float:
        """Return the seconds until the window ends, for Retry-After."""
        return self.seconds_left
