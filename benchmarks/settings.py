"""Twit's settings, plus the views of `reference` and a result backend for tasks."""

from twit.settings import *  # noqa: F403
from twit.settings import DATABASES, REDIS_URL, TWIT_LIMITS

ROOT_URLCONF = "benchmarks.reference"
CELERY_RESULT_BACKEND = REDIS_URL  # for tasks with ignore_result=False
TWIT_LIMITS["measured"] = (10**9, 900)  # requests are counted, but the limit is never reached
# The same database through Django's own engine, with persistent connections and health checks.
DATABASES["textbook"] = DATABASES["default"] | {
    "ENGINE": "django.db.backends.postgresql",
    "OPTIONS": {},
}
