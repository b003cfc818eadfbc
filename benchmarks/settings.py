"""Twit's settings, with the views of `reference` beside its own, and results of tasks."""

from twit.settings import *  # noqa: F403
from twit.settings import DATABASES, REDIS_URL, TWIT_LIMITS

ROOT_URLCONF = "benchmarks.reference"
CELERY_RESULT_BACKEND = REDIS_URL  # for those tasks that ask for it
TWIT_LIMITS["measured"] = (10**9, 900)  # counted, and never reached
# The same database with what Django itself offers: lasting connections that are checked.
DATABASES["textbook"] = DATABASES["default"] | {
    "ENGINE": "django.db.backends.postgresql",
    "OPTIONS": {},
}
