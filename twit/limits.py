"""How often one may ask: fixed windows, counted in Redis, by user or else by address."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from timelines import server

if TYPE_CHECKING:  # which imports this module, as a default of its settings
    from rest_framework.views import APIView


class Window(NamedTuple):
    """Where one is in a window: requests that it takes, those left (below 0: too many), seconds."""

    most: int
    remaining: int
    seconds_left: int


def count(scope: str, keys: Sequence[str], by: int = 1) -> Window | None:
    """Count for every key; the fullest of their windows. None if nothing is limited.

    A window begins with its first request. Without Redis nothing is limited: to serve matters more.
    """
    limit = settings.TWIT_LIMITS[scope]
    if limit is None:
        return None
    most, seconds = limit
    commands = [
        command
        for key in keys
        for command in (("INCRBY", key, by), ("EXPIRE", key, seconds, "NX"), ("PTTL", key))
    ]
    try:
        with server.connection(server.client()) as link:
            answers = server.ask(link, *commands)
    except server.Unavailable:
        return None
    milliseconds = max(answers[2::3])
    return Window(most, most - max(answers[::3]), max(1, math.ceil(milliseconds / 1000)))


class Limit(BaseThrottle):
    """The limit of the view's `throttle_scope`, and the headers that tell how much is left of it.

    X-RateLimit-Limit and -Remaining are requests, -Reset is in seconds since 1970.
    """

    seconds_left = 0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Whether the request is within its limit."""
        scope = getattr(view, "throttle_scope", "requests")
        window = count(scope, self.keys(scope, request))
        if window is None:
            return True
        self.seconds_left = window.seconds_left
        view.headers |= {
            "X-RateLimit-Limit": str(window.most),
            "X-RateLimit-Remaining": str(max(window.remaining, 0)),
            "X-RateLimit-Reset": str(int(time.time()) + window.seconds_left),
        }
        return window.remaining >= 0

    def keys(self, scope: str, request: Request) -> list[str]:
        """What is counted for the request: its user, or the address of someone unknown."""
        return [f"limit:{scope}:{request.user.pk or self.get_ident(request)}"]

    def wait(self) -> float:
        """The seconds until the window ends, for Retry-After."""
        return self.seconds_left
