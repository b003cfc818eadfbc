"""The Celery application: `celery -A twit worker`, `celery -A twit beat`."""

import os
import sys
from pathlib import Path

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")

app = Celery("twit")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["users", "tweets", "timelines.delivery"])

if "celery" in (Path(sys.argv[0]).name, Path(sys.argv[0]).parent.name):  # not imported by Django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from backends.engine.base import DatabaseWrapper
    from backends.engine.patience import WORKER
    from twit.environment import plain_exit
    from twit.local.place import CHECKOUT, Place

    with plain_exit():
        Place(CHECKOUT).use_published()
        if not settings.REDIS_URL:  # Celery would try to connect for ever
            raise ImproperlyConfigured(settings.NO_SERVERS)
    DatabaseWrapper.patience = WORKER
