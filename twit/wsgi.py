"""The WSGI application: Django. Only `python -m twit.web` should serve it, through twit.asgi.

That server bounds how long a request may take to arrive, and passes on only whole ones.
"""

import os
import re
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from backends.engine.base import DatabaseWrapper
from backends.engine.patience import REQUEST
from backends.valkey import REQUEST_SECONDS
from twit import environment
from twit.celery import app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")

DatabaseWrapper.patience = REQUEST
with environment.plain_exit():
    environment.read(needs_servers=True)
    # A request waits only briefly for the broker, because the outbox holds its tweet.
    options = app.conf.broker_transport_options
    short = {name: REQUEST_SECONDS for name in options if name.endswith("_timeout")}
    app.conf.broker_transport_options = options | short
    django_application = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve a request. Bodies are read as UTF-8: Django would fail on a charset such as zlib."""
    content_type = environ.get("CONTENT_TYPE", "")
    if "charset" in content_type.lower():
        environ["CONTENT_TYPE"] = re.sub(r"(?i);\s*charset\s*=[^;]*", "", content_type)
    return django_application(environ, start_response)
