"""The WSGI entry: `granian --interface wsgi twit.wsgi:application`."""

import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from twit.celery import app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")

if not (settings.DATABASE_URL and settings.REDIS_URL):
    raise ImproperlyConfigured(settings.NO_SERVERS)
# A request waits for no broker; the outbox holds its tweet.
app.conf.broker_transport_options = {"socket_connect_timeout": 0.3, "socket_timeout": 0.3}
application = get_wsgi_application()
