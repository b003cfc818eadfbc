"""The Celery application: `celery -A twit worker`, `celery -A twit beat`."""

import os
import sys
from pathlib import Path

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")

app = Celery("twit")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

if Path(sys.argv[0]).name == "celery" or Path(sys.argv[0]).parent.name == "celery":
    # The celery command can do nothing without a broker, and would retry for ever.
    from django.conf import settings

    if not settings.REDIS_URL:
        sys.exit(f"twit: {settings.NO_SERVERS}")
