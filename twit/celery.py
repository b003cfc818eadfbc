"""The Celery application: `celery -A twit worker`, `celery -A twit beat`."""

import os
import sys
from pathlib import Path

from celery import Celery

import twit.logs  # noqa: F401 (its receivers of Celery's signals)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")

app = Celery("twit")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["users", "tweets", "timelines.delivery"])

if "celery" in (Path(sys.argv[0]).name, Path(sys.argv[0]).parent.name):  # not imported by Django
    from twit.environment import plain_exit, read
    from twit.local.place import CHECKOUT, Place
    from twit.metrics import serve, share

    is_worker = "worker" in sys.argv
    with plain_exit():
        Place(CHECKOUT).use_published()
        if is_worker:
            share("TWIT_METRICS_WORKER")

    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from backends import checks
    from backends.engine.base import DatabaseWrapper
    from backends.engine.patience import WORKER

    with plain_exit():
        if not settings.REDIS_URL:  # Celery would try to connect forever
            raise ImproperlyConfigured(settings.NO_SERVERS)
        checks.require()
        if is_worker:
            serve("TWIT_METRICS_WORKER", read().TWIT_METRICS_WORKER)
    DatabaseWrapper.patience = WORKER
