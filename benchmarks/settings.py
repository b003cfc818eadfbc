"""Twit's settings, with the views of `reference` beside its own, and results of tasks."""

from twit.settings import *  # noqa: F403
from twit.settings import DATABASES, REDIS_URL

ROOT_URLCONF = "benchmarks.reference"
CELERY_RESULT_BACKEND = REDIS_URL  # for those tasks that ask for it
# The same database as Django's defaults have it, but for a connection that lasts.
DATABASES["textbook"] = DATABASES["default"] | {
    "ENGINE": "django.db.backends.postgresql",
    "CONN_HEALTH_CHECKS": False,
    "OPTIONS": {},
}
