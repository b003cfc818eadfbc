#!/usr/bin/env python
"""Django's command line for Twit."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured


def main() -> None:
    """Run a management command; bad or missing configuration is told in a sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        from django.conf import settings

        # Django's dummy backend speaks of ENGINE; what is missing is a server.
        serverless = settings.configured and not settings.DATABASE_URL
        sys.exit(f"twit: {settings.NO_SERVERS if serverless else error}")


if __name__ == "__main__":
    main()
