#!/usr/bin/env python
"""Django's command line for Twit, on the servers of `make up` or of the environment."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from api.commands import failure
from twit.environment import plain_exit
from twit.local.place import CHECKOUT, Place

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
    with plain_exit():
        Place(CHECKOUT).use_published()
        try:
            execute_from_command_line(sys.argv)
        except OperationalError as error:  # in a command of Django's
            if "--traceback" in sys.argv:
                raise
            sys.exit(f"CommandError: {failure('Postgres', error)}")
