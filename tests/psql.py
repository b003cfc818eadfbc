"""Ways into the test's database that bypass Django: the real psql, and further connections."""

import os
import subprocess

import psycopg
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


def connect() -> psycopg.Connection:
    """Return another connection, with a transaction of its own."""
    known = connection.settings_dict
    return psycopg.connect(
        host=known["HOST"],
        port=known["PORT"],
        user=known["USER"],
        password=known["PASSWORD"],
        dbname=known["NAME"],
    )


def sessions_that_wait_for_a_lock() -> int:
    """Return how many sessions of the test's database wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        [(count,)] = cursor.fetchall()
    return int(count)
