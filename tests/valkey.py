"""A plain client for the tests' Valkey, to inspect and change its data."""

from functools import cache

import redis
from django.conf import settings


def client(timeout_seconds: float = 30.0) -> redis.Redis:
    """Return a client for the server that REDIS_URL names at the time of the call."""
    return _client_of(settings.REDIS_URL, timeout_seconds)


@cache
def _client_of(url: str, timeout_seconds: float) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=timeout_seconds, protocol=2)
