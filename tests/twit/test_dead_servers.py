"""Every management command says in one sentence that a server which it needs is dead."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from unittest.mock import patch

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands, load_command_class
from django.db import connections
from django.test import override_settings

from api.commands import ServerCommand
from tests.factories import FollowFactory, TweetFactory
from tests.stack import CHECKOUT
from timelines.delivery import admitting
from timelines.signs import HEARTBEAT, sweep_of_this_host
from twit.celery import app
from twit.local.net import LOOPBACK, free_port
from users.models import User

ROOMS = {"users", "tweets", "timelines"}
OURS = sorted(name for name, app in get_commands().items() if app in ROOMS)
ARGUMENTS = {
    "create_token": ["ben"],
    "create_user": ["alyssa", "--no-password"],
    "explain_timeline": ["ben"],
    "forget_timelines": ["ben"],
    "generate_graph": ["--users", "8", "--mean-follows", "1", "--merge"],
    "import_follows": ["-"],
    "rebuild_timelines": ["ben"],
    "verify_timelines": ["ben"],
}


def run(command: str, *options: str) -> None:
    """Run the command as manage.py does, except that the test's connections stay open."""
    arguments = [*ARGUMENTS.get(command, []), *options]
    stdin = patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with stdin, patch.object(connections, "close_all"):
        load_command_class(get_commands()[command], command).run_from_argv(
            ["manage.py", command, *arguments]
        )


@contextmanager
def dead_postgres() -> Iterator[None]:
    live = connections["default"]
    connections["default"] = live.copy()
    connections["default"].settings_dict |= {"HOST": LOOPBACK, "PORT": free_port()}
    try:
        yield
    finally:
        connections["default"] = live


def dead_valkey() -> AbstractContextManager[object]:
    return override_settings(REDIS_URL=f"redis://{LOOPBACK}:{free_port()}")


def dead_broker(scheme: str) -> AbstractContextManager[object]:
    connect = partial(app.connection_for_read, f"{scheme}://{LOOPBACK}:{free_port()}")
    return patch.multiple(app, connection_for_read=connect, connection_for_write=connect)


dead_queue, dead_rabbit = partial(dead_broker, "redis"), partial(dead_broker, "amqp")


NEEDS_BROKER = ["fanout_status"]
NEEDS_VALKEY = ["deliver_pending", "forget_timelines", "rebuild_timelines", "verify_timelines"]
CASES = [
    *((command, dead_postgres, "Postgres failed: conn") for command in OURS),
    *((command, dead_valkey, "Redis failed: ") for command in NEEDS_VALKEY),
    *(
        (command, dead, "the broker failed: ")
        for command in NEEDS_BROKER
        for dead in (dead_queue, dead_rabbit)
    ),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("command", "dead", "sentence"), CASES)
def test_a_command_that_needs_a_dead_server_says_so_in_one_sentence(
    ben: User,
    capsys: pytest.CaptureFixture[str],
    command: str,
    dead: Callable[[], AbstractContextManager[object]],
    sentence: str,
) -> None:
    TweetFactory.create(author=FollowFactory.create(follower=ben).followed)
    with dead(), pytest.raises(SystemExit) as end:
        run(command)
    assert end.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"CommandError: {sentence}")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("command", "dead"),
    [
        *((command, dead_valkey) for command in sorted({*OURS} - {*NEEDS_VALKEY})),
        *((command, dead_queue) for command in sorted({*OURS} - {*NEEDS_BROKER})),
    ],
)
def test_a_command_that_does_not_need_a_dead_server_works(
    ben: User, command: str, dead: Callable[[], AbstractContextManager[object]]
) -> None:
    for identity in (HEARTBEAT, sweep_of_this_host()):
        admitting.see(identity)
    with dead():
        run(command)


@pytest.mark.parametrize("command", ["migrate", "createsuperuser"])
def test_djangos_commands_say_so_in_one_sentence_too(command: str) -> None:
    dead = {"DATABASE_URL": f"postgresql://twit@{LOOPBACK}:{free_port()}/twit"}
    ended = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=CHECKOUT,
        env=os.environ | dead,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("CommandError: Postgres failed: conn")


@pytest.mark.parametrize("command", OURS)
def test_every_command_is_a_server_command(command: str) -> None:
    assert isinstance(load_command_class(get_commands()[command], command), ServerCommand)


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL"])
@pytest.mark.parametrize("command", OURS)
def test_a_command_without_servers_says_what_to_set(command: str, missing: str) -> None:
    with (
        override_settings(**{missing: ""}),
        pytest.raises(ImproperlyConfigured, match="no servers: run `make up`"),
    ):
        run(command)


@pytest.mark.django_db
def test_the_status_without_a_broker_has_what_postgres_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with dead_queue(), pytest.raises(SystemExit):
        run("fanout_status", "--json")
    status = json.loads(capsys.readouterr().out)
    assert status["pending"] == 0
    assert status["workers"] is None
