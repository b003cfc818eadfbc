"""Settings by the environment, and the commands that stand on them."""

import ast
import os
import subprocess
import sys

from tests.stack import CHECKOUT

PRODUCTION = {
    "SECRET_KEY": "a-long-random-value-that-nobody-else-knows-0123456789-abcdefg",
    "DATABASE_URL": os.environ["DATABASE_URL"],
    "REDIS_URL": os.environ["REDIS_URL"],
    "ALLOWED_HOSTS": "twit.example",
    "TWIT_HSTS_SECONDS": "3600",
    "PATH": os.environ["PATH"],
}


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=CHECKOUT,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )


def test_production_without_a_secret_key_refuses_to_start() -> None:
    env = {**PRODUCTION, "SECRET_KEY": ""}
    answer = run("manage.py", "migrate", **env)
    assert answer.returncode == 1
    assert answer.stderr.startswith("twit: SECRET_KEY is not set")
    assert answer.stderr.count("\n") == 1
    assert "SECRET_KEY is not set" in run("-c", "import twit.wsgi", **env).stderr


def test_the_deployment_check_is_clean() -> None:
    answer = run("manage.py", "check", "--deploy", "--fail-level", "INFO", **PRODUCTION)
    assert answer.returncode == 0, answer.stderr
    assert "no issues" in answer.stdout + answer.stderr


def test_debug_and_the_open_api_are_off_by_default() -> None:
    code = "from twit import settings as s; print(s.DEBUG, s.TWIT_OPEN_API)"
    assert run("-c", code, **PRODUCTION).stdout == "False False\n"


def test_a_closed_api_answers_401_in_json_to_strangers() -> None:
    code = """
import django; django.setup()
from django.test import Client
proxied = {"host": "twit.example", "x-forwarded-proto": "https"}
answer = Client().get("/tweets/followed/1", headers=proxied)
print(answer.status_code, list(answer.json()))
"""
    env = {**PRODUCTION, "DJANGO_SETTINGS_MODULE": "twit.settings", "TWIT_PROXIES": "1"}
    assert run("-c", code, **env).stdout == "401 ['detail']\n"


def test_without_a_proxy_no_request_can_claim_to_have_come_over_https() -> None:
    code = """
import django; django.setup()
from django.test import Client
claims = {"host": "twit.example", "x-forwarded-proto": "https"}
answer = Client().get("/tweets", headers=claims)
print(answer.status_code, answer["Location"])
"""
    env = {**PRODUCTION, "DJANGO_SETTINGS_MODULE": "twit.settings"}
    assert run("-c", code, **env).stdout == "301 https://twit.example/tweets\n"


def test_a_web_server_warns_of_redirects_without_end_behind_a_proxy() -> None:
    for name, value, warns in (
        ("TWIT_PROXIES", "0", 1),
        ("TWIT_PROXIES", "1", 0),
        ("TWIT_HTTPS", "off", 0),
    ):
        env = {**PRODUCTION, "DJANGO_SETTINGS_MODULE": "twit.settings", name: value}
        code = "from twit.web.server import warn_of_endless_redirects as warn; warn()"
        printed = run("-c", code, **env).stderr
        assert printed.count("set TWIT_PROXIES to the number of proxies") == warns


def test_a_limit_that_is_none_is_named() -> None:
    answer = run("manage.py", "check", **PRODUCTION, TWIT_LIMIT_POSTS="300 an hour")
    assert answer.returncode == 1
    assert answer.stderr.startswith("twit: TWIT_LIMIT_POSTS is '300 an hour'")


def test_no_migration_is_missing() -> None:
    answer = run("manage.py", "makemigrations", "--check", PATH=os.environ["PATH"])
    assert answer.returncode == 0, answer.stdout


def test_celery_reuses_database_connections_between_tasks() -> None:
    code = """
from celery.fixups.django import DjangoWorkerFixup
from twit.celery import app
print(DjangoWorkerFixup(app).db_reuse_max)
"""
    env = {**PRODUCTION, "DJANGO_SETTINGS_MODULE": "twit.settings"}
    assert run("-c", code, **env).stdout == "100000\n"


def test_the_web_server_waits_briefly_for_every_kind_of_broker() -> None:
    show = "import twit.wsgi; from twit.celery import app; print(app.conf.broker_transport_options)"
    for url, confirms in (("redis://cache", False), ("amqp://rabbit", True)):
        shown = run("-c", show, **PRODUCTION, BROKER_URL=url)
        options = ast.literal_eval(shown.stdout)
        seconds = {value for name, value in options.items() if name.endswith("_timeout")}
        assert seconds == {0.3}
        assert options.get("confirm_publish", False) is confirms
