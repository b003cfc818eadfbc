"""A plain client of the tests' Valkey, to look into it and to change it by hand."""

from functools import cache

import redis
from django.conf import settings


def client(timeout_seconds: float = 30.0) -> redis.Redis:
    """Return a client of the server that REDIS_URL names at the moment."""
    return _client_of(settings.REDIS_URL, timeout_seconds)


@cache
def _client_of(url: str, timeout_seconds: float) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=timeout_seconds, protocol=2)
