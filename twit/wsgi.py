"""The WSGI entry: `granian --interface wsgi twit.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")

application = get_wsgi_application()
