"""Wrong settings stop every program with a sentence that names the variable."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.stack import CHECKOUT
from twit import environment

SERVERS = {
    "DATABASE_URL": "postgresql://twit:hidden@127.0.0.1:1/twit",
    "REDIS_URL": "redis://:hidden@127.0.0.1:1/0",
    "SECRET_KEY": "secret",
    "PATH": os.environ["PATH"],
}
PROGRAMS = {
    "manage.py": ["manage.py", "check"],
    "worker": ["-m", "celery", "-A", "twit", "worker"],
    "web": ["-m", "twit.web"],
    "make up": ["-m", "twit.local"],
}
SWITCH = "it takes on or off."
POSTGRES = "it takes postgresql://user:password@host:5432/database."
REDIS = "it takes redis://[[user]:password@]host[:port][/database], or rediss:// for TLS."
BROKER = "it takes amqp://user:password@host[:port][/vhost], amqps:// or a redis:// URL."
HOSTS = "it takes host names, separated by commas."
ORIGINS = "it takes origins like https://twit.example, separated by commas."
RATE = "it takes a count and a period like 300/3h, 10/15m or 5/1d, or off."
WRONG = [
    ("TWIT_HTTPS", "enabled", f"is 'enabled'; {SWITCH}"),
    ("TWIT_OPEN_API", "tokens", f"is 'tokens'; {SWITCH}"),
    ("TWIT_OPEN_API_ANYWHERE", "2", f"is '2'; {SWITCH}"),
    ("DEBUG", "maybe", f"is 'maybe'; {SWITCH}"),
    ("DATABASE_URL", "mysql://twit:hidden@db/twit", f"is wrong; {POSTGRES}"),
    ("DATABASE_URL", "postgresql://twit:hidden@db", f"is wrong; {POSTGRES}"),
    ("DATABASE_URL", "postgresql://twit:hidden@db/twit?colour=red", f"is wrong; {POSTGRES}"),
    ("DATABASE_URL", "dbname=twit", f"is wrong; {POSTGRES}"),
    ("REDIS_URL", "foo", f"is wrong; {REDIS}"),
    ("REDIS_URL", "127.0.0.1:6379", f"is wrong; {REDIS}"),
    ("REDIS_URL", "memcached://:hidden@cache", f"is wrong; {REDIS}"),
    ("REDIS_URL", "redis://:hidden@cache/first", f"is wrong; {REDIS}"),
    (
        "REDIS_URL",
        "redis://cache?db=0&colour=red",
        f"is wrong: the option colour is unknown; {REDIS}",
    ),
    ("REDIS_URL", "redis://cache:70000/0", f"is wrong: Port out of range 0-65535; {REDIS}"),
    ("BROKER_URL", "sqs://", f"is wrong; {BROKER}"),
    ("BROKER_URL", "amqp://guest:guest@", f"is wrong; {BROKER}"),
    ("BROKER_URL", "amqp://rabbit/twit?heartbeat=3", f"is wrong; {BROKER}"),
    ("BROKER_URL", "redis://cache/first", f"is wrong; {BROKER}"),
    ("LIMITS_URL", "amqp://rabbit", f"is wrong; {REDIS}"),
    ("ALLOWED_HOSTS", "https://twit.example", f"is 'https://twit.example'; {HOSTS}"),
    ("ALLOWED_HOSTS", "twit.example localhost", f"is 'twit.example localhost'; {HOSTS}"),
    ("CSRF_TRUSTED_ORIGINS", "twit.example", f"is 'twit.example'; {ORIGINS}"),
    ("TWIT_TOKEN_DAYS", "0", "is '0'; it takes a number from 1 to 36500."),
    ("TWIT_TOKEN_DAYS", "a month", "is 'a month'; it takes a number from 1 to 36500."),
    ("TWIT_LIMIT_POSTS", "300", f"is '300'; {RATE}"),
    ("TWIT_LIMIT_REQUESTS", "0/15m", f"is '0/15m'; {RATE}"),
    ("TWIT_LIMIT_LOGINS", "none", f"is 'none'; {RATE}"),
    ("TWIT_PROXIES", "-1", "is '-1'; it takes a number from 0 to 100."),
    ("TWIT_PROXIES", "one", "is 'one'; it takes a number from 0 to 100."),
    ("TWIT_LOG_LEVEL", "LOUD", "is 'LOUD'; it takes DEBUG, INFO, WARNING, ERROR or CRITICAL."),
    ("TWIT_PORT", "0", "is '0'; it takes a number from 1 to 65535."),
    ("TWIT_PORT", "http", "is 'http'; it takes a number from 1 to 65535."),
    ("TWIT_OPNE_API", "on", "is not a variable of Twit; did you mean TWIT_OPEN_API?"),
    ("TWIT_COLOUR", "red", "is not a variable of Twit."),
    ("TWIT_https", "on", "is not a variable of Twit."),
]


def start(program: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *PROGRAMS[program]],
        cwd=CHECKOUT,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_a_wrong_setting_stops_every_program_with_a_sentence(
    program: str, name: str, value: str, sentence: str
) -> None:
    ended = start(program, SERVERS | {name: value})
    assert ended.returncode != 0
    assert ended.stderr == f"twit: {name} {sentence}\n"
    assert "hidden" not in ended.stdout + ended.stderr


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"DEBUG": "maybe", "TWIT_PROXIES": "-1", "TWIT_COLOUR": "red", "SECRET_KEY": ""}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as raised:
        environment.read()
    lines = [line.split()[0] for line in str(raised.value).splitlines()]
    assert lines == ["TWIT_COLOUR", "SECRET_KEY", "DEBUG", "TWIT_PROXIES"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEBUG", "on", True),
        ("DEBUG", "False", False),
        ("DEBUG", "", False),
        ("ALLOWED_HOSTS", "a.example, .b.example,[::1]", ["a.example", ".b.example", "[::1]"]),
        ("TWIT_LIMIT_POSTS", "5/2d", (5, 2 * 24 * 3600)),
        ("TWIT_LIMIT_POSTS", "off", None),
    ],
)
def test_right_settings_are_parsed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(environment.read(), name) == expected


def test_only_limits_that_are_set_replace_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIT_LIMIT_POSTS", "off")
    monkeypatch.setenv("TWIT_LIMIT_LOGINS", "3/1m")
    assert environment.read().limits == {"posts": None, "logins": (3, 60)}
