"""The WSGI entry: `granian --interface wsgi twit.wsgi:application`."""

import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")

if not (settings.DATABASE_URL and settings.REDIS_URL):
    raise ImproperlyConfigured(settings.NO_SERVERS)
application = get_wsgi_application()
