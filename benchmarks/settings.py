"""Twit's settings, plus the views of `reference` and a result backend for tasks."""

from twit.settings import *  # noqa: F403
from twit.settings import BROKER_URL, DATABASES, INSTALLED_APPS, REDIS_URL

ROOT_URLCONF = "benchmarks.reference"
CELERY_RESULT_BACKEND = BROKER_URL  # for tasks with ignore_result=False
# What DRF's own tokens and rate limits need.
INSTALLED_APPS.append("rest_framework.authtoken")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
}
# The same database through Django's own engine, with persistent connections and health checks.
DATABASES["textbook"] = DATABASES["default"] | {
    "ENGINE": "django.db.backends.postgresql",
    "OPTIONS": {},
}
