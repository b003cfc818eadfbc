"""How often one may ask: fixed windows, counted in Redis, by user or else by address."""

import math
import time
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from timelines import server

if TYPE_CHECKING:  # which imports this module, as a default of its settings
    from rest_framework.views import APIView


def count(key: str, seconds: int, by: int = 1) -> tuple[int, int] | None:
    """What the key's window has counted, and its seconds left; None while Redis is away.

    A window begins with its first request. Without Redis nothing is limited: to serve matters more.
    """
    try:
        with server.connection(server.client()) as link:
            counted, _, left_ms = server.ask(
                link, ("INCRBY", key, by), ("EXPIRE", key, seconds, "NX"), ("PTTL", key)
            )
    except server.Unavailable:
        return None
    return counted, max(1, math.ceil(left_ms / 1000))


class Limit(BaseThrottle):
    """The limit of the view's `throttle_scope`, and the headers that tell how much is left of it.

    X-RateLimit-Limit and -Remaining are requests, -Reset is in seconds since 1970.
    """

    seconds_left = 0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Whether the request is within its limit."""
        scope = getattr(view, "throttle_scope", "requests")
        limit = settings.TWIT_LIMITS[scope]
        if limit is None:
            return True
        most, seconds = limit
        remaining = most
        for key in self.keys(scope, request):
            counted = count(key, seconds)
            if counted is None:
                return True
            remaining = min(remaining, most - counted[0])
            self.seconds_left = max(self.seconds_left, counted[1])
        view.headers |= {
            "X-RateLimit-Limit": str(most),
            "X-RateLimit-Remaining": str(max(remaining, 0)),
            "X-RateLimit-Reset": str(int(time.time()) + self.seconds_left),
        }
        return remaining >= 0

    def keys(self, scope: str, request: Request) -> list[str]:
        """What is counted for the request: its user, or the address of someone unknown."""
        return [f"limit:{scope}:{request.user.pk or self.get_ident(request)}"]

    def wait(self) -> float:
        """The seconds until the window ends, for Retry-After."""
        return self.seconds_left
