"""SQL by hand, through the real psql, on the test's own database."""

import os
import subprocess

from django.db import connection

from twit.local.postgres import package


def psql(statement: str) -> None:
    """Run the statement, committed, past Django."""
    known = connection.settings_dict
    address = ("-h", known["HOST"], "-p", str(known["PORT"]), "-U", known["USER"])
    subprocess.run(
        [package() / "pginstall/bin/psql", *address, "-qd", known["NAME"], "-c", statement],
        env=os.environ | {"PGPASSWORD": known["PASSWORD"]},
        check=True,
        capture_output=True,
    )
