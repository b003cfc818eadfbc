#!/usr/bin/env python
"""Django's command line for Twit."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured

from twit.environment import plain_exit
from twit.local.place import CHECKOUT, Place


def main() -> None:
    """Run a management command on the servers of `make up`, or on those of the environment."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
    from django.core.management import execute_from_command_line

    Place(CHECKOUT).use_published()
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured:
        from django.conf import settings

        # Without a server Django's message is about ENGINE, which nobody sets here.
        if settings.configured and not settings.DATABASE_URL:
            raise ImproperlyConfigured(settings.NO_SERVERS) from None
        raise


if __name__ == "__main__":
    with plain_exit():
        main()
