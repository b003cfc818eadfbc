"""Runs SQL on the test's database with the real psql."""

import os
import subprocess

from django.db import connection

from twit.local.postgres import package


def psql(statement: str) -> None:
    """Run and commit the statement, bypassing Django."""
    known = connection.settings_dict
    address = ("-h", known["HOST"], "-p", str(known["PORT"]), "-U", known["USER"])
    subprocess.run(
        [package() / "pginstall/bin/psql", *address, "-qd", known["NAME"], "-c", statement],
        env=os.environ | {"PGPASSWORD": known["PASSWORD"]},
        check=True,
        capture_output=True,
    )
