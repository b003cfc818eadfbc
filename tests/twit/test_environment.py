"""Wrong settings stop every program with a sentence that names the variable."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from backends.address import Address, parse_cluster
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
ONE = "it takes redis://[[user]:password@]host[:port][/database], or rediss:// for TLS"
CLUSTER = "valkey-cluster://[[user]:password@]host:port,host:port,..., or valkeys-cluster://."
REDIS = f"{ONE}, or {CLUSTER}"
BROKER = "it takes amqp://user:password@host[:port][/vhost], amqps:// or a redis:// URL."
HOSTS = "it takes host names, separated by commas."
ORIGINS = "it takes origins like https://twit.example, separated by commas."
WEB_ORIGINS = "it takes browsers' origins like https://app.example, separated by commas."
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
    ("REDIS_URL", "valkey-cluster://", f"is wrong; {REDIS}"),
    ("REDIS_URL", "valkey-cluster://a:1,b:2/3", f"is wrong; {REDIS}"),
    ("REDIS_URL", "valkey-cluster://a:1,b:70000", f"is wrong: Port out of range 0-65535; {REDIS}"),
    ("BROKER_URL", "valkey-cluster://a:1,b:2", f"is wrong; {BROKER}"),
    ("LIMITS_URL", "valkey-cluster://a:1,b:2", f"is wrong; {ONE}."),
    ("BROKER_URL", "sqs://", f"is wrong; {BROKER}"),
    ("BROKER_URL", "amqp://guest:guest@", f"is wrong; {BROKER}"),
    ("BROKER_URL", "amqp://rabbit/twit?heartbeat=3", f"is wrong; {BROKER}"),
    ("BROKER_URL", "redis://cache/first", f"is wrong; {BROKER}"),
    ("LIMITS_URL", "amqp://rabbit", f"is wrong; {ONE}."),
    ("ALLOWED_HOSTS", "https://twit.example", f"is 'https://twit.example'; {HOSTS}"),
    ("ALLOWED_HOSTS", "twit.example localhost", f"is 'twit.example localhost'; {HOSTS}"),
    ("CSRF_TRUSTED_ORIGINS", "twit.example", f"is 'twit.example'; {ORIGINS}"),
    *(
        ("TWIT_CORS_ORIGINS", origin, f"is {origin!r}; {WEB_ORIGINS}")
        for origin in (
            *("*", "null", "app.example", "https://app.example/", "https://*.app.example"),
            *("https://App.example", "https://app.example:443", "http://app.example:80"),
            *("https://app.example:port", "https://app.example https://b.example"),
        )
    ),
    ("TWIT_TOKEN_DAYS", "0", "is '0'; it takes a number from 1 to 36500."),
    ("TWIT_TOKEN_DAYS", "a month", "is 'a month'; it takes a number from 1 to 36500."),
    ("TWIT_LIMIT_POSTS", "300", f"is '300'; {RATE}"),
    ("TWIT_LIMIT_REQUESTS", "0/15m", f"is '0/15m'; {RATE}"),
    ("TWIT_LIMIT_LOGINS", "none", f"is 'none'; {RATE}"),
    ("TWIT_LIMIT_FOLLOWS", "400/day", f"is '400/day'; {RATE}"),
    ("TWIT_LIMIT_SIGN_UPS", "0/1h", f"is '0/1h'; {RATE}"),
    ("TWIT_SIGN_UP", "open", f"is 'open'; {SWITCH}"),
    ("TWIT_PROXIES", "-1", "is '-1'; it takes a number from 0 to 100."),
    ("TWIT_PROXIES", "one", "is 'one'; it takes a number from 0 to 100."),
    ("TWIT_HSTS_SECONDS", "a year", "is 'a year'; it takes a number from 0 to 100000000."),
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


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_a_wrong_setting_is_reported_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    for variable, text in (SERVERS | {name: value}).items():
        monkeypatch.setenv(variable, text)
    with pytest.raises(ImproperlyConfigured) as raised:
        environment.read()
    assert str(raised.value) == f"{name} {sentence}"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TWIT_HTTPS", "enabled", f"is 'enabled'; {SWITCH}"),
        ("REDIS_URL", "redis://:hidden@cache/first", f"is wrong; {REDIS}"),
    ],
)
def test_a_wrong_setting_stops_every_program(
    program: str, name: str, value: str, sentence: str
) -> None:
    ended = start(program, SERVERS | {name: value})
    assert ended.returncode != 0
    assert ended.stderr == f"twit: {name} {sentence}\n"
    assert "hidden" not in ended.stdout + ended.stderr


def test_a_cluster_needs_other_servers_for_the_other_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = "valkey-cluster://:hidden@127.0.0.1:1,127.0.0.1:2"
    for variable, text in (SERVERS | {"REDIS_URL": cluster}).items():
        monkeypatch.setenv(variable, text)
    with pytest.raises(ImproperlyConfigured) as raised:
        environment.read()
    assert [line.strip() for line in str(raised.value).splitlines()] == [
        "BROKER_URL is not set: with a cluster in REDIS_URL, "
        "Celery's queues need a server of their own.",
        "LIMITS_URL is not set: with a cluster in REDIS_URL, "
        "the rate limits need a server of their own.",
    ]


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
    monkeypatch.setenv("TWIT_LIMIT_SIGN_UPS", "5/1h")
    expected = {"posts": None, "logins": (3, 60), "sign_ups": (5, 3600)}
    assert environment.read().limits == expected


PASSWORD = "a/b@c:d%20e?f#g [h] \"'$&+ü"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache:6379/0", ("cache", 6379, 0, (PASSWORD,))),
        ("redis://", ("localhost", 6379, 0, (PASSWORD,))),
        ("redis://:own@cache/1", ("cache", 6379, 1, ("own",))),
        ("redis://user:own@cache", ("cache", 6379, 0, ("user", "own"))),
    ],
)
def test_a_password_of_its_own_variable_needs_no_encoding(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: object
) -> None:
    for variable, text in (SERVERS | {"REDIS_URL": url, "REDIS_PASSWORD": PASSWORD}).items():
        monkeypatch.setenv(variable, text)
    assert Address.parse(environment.read().REDIS_URL)[:4] == expected


def test_the_password_is_for_all_nodes_and_roles_of_redis_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urls = {"REDIS_URL": "valkey-cluster://a:1,b:2", "LIMITS_URL": "redis://c"}
    urls |= {"BROKER_URL": "amqp://rabbit", "REDIS_PASSWORD": PASSWORD}
    for variable, text in (SERVERS | urls).items():
        monkeypatch.setenv(variable, text)
    variables = environment.read()
    nodes = [*parse_cluster(variables.REDIS_URL), Address.parse(variables.LIMITS_URL)]
    assert {node.credentials for node in nodes} == {(PASSWORD,)}
    assert variables.BROKER_URL == "amqp://rabbit"
