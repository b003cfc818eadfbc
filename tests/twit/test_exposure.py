"""What a server exposes: addresses, logs, docs and the schema."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.site import Site
from tests.stack import CHECKOUT, Stack
from twit.local.net import free_port


@contextmanager
def web_server(stack: Stack, host: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "twit.web", "--host", host, "--port", str(free_port())],
        cwd=CHECKOUT,
        env=stack.env | {"TWIT_OPEN_API": "on"} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as server:
        yield server
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_open_api_refuses_to_start_on_a_public_address(stack: Stack, host: str) -> None:
    with web_server(stack, host) as server:
        output, _ = server.communicate(timeout=30)
    assert server.returncode != 0
    assert f"other machines can reach {host}" in output
    assert "TWIT_OPEN_API_ANYWHERE=on" in output


@pytest.mark.parametrize(
    ("host", "env"),
    [
        ("127.0.0.1", {}),
        ("0.0.0.0", {"TWIT_OPEN_API_ANYWHERE": "on"}),
        ("0.0.0.0", {"TWIT_OPEN_API": "off"}),
    ],
)
def test_an_open_api_starts_on_loopback_or_with_the_override_and_a_closed_one_anywhere(
    stack: Stack, host: str, env: dict[str, str]
) -> None:
    with web_server(stack, host, **env) as server:
        assert server.stdout
        output = "".join(takewhile(lambda line: "Started parent" not in line, server.stdout))
        is_running = server.poll() is None
    assert is_running
    is_open = env.get("TWIT_OPEN_API") != "off"
    assert ("TWIT_OPEN_API is on: anybody who can reach this server" in output) == is_open


# Sends a request that arrives at an address of the server, whichever program serves it.
ARRIVE = """
import asyncio, sys
from twit.asgi import application

async def send(message):
    print(message.get("status") or message["body"].decode())

scope = {
    "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/",
    "raw_path": b"/", "query_string": b"", "headers": [(b"host", b"localhost")], "state": {},
    "client": ("192.0.2.7", 1), "server": (sys.argv[1], 80),
}
asyncio.run(application(scope, None, send))
"""


@pytest.mark.parametrize(
    ("address", "env", "status"),
    [
        ("127.0.0.1", {}, "200"),
        ("::1", {}, "200"),
        ("192.0.2.1", {}, "403"),
        ("2001:db8::1", {}, "403"),
        ("192.0.2.1", {"TWIT_OPEN_API_ANYWHERE": "on"}, "200"),
        ("192.0.2.1", {"TWIT_OPEN_API": "off"}, "200"),
    ],
)
def test_an_open_api_refuses_requests_that_arrive_at_a_public_address(
    stack: Stack, address: str, env: dict[str, str], status: str
) -> None:
    command = [sys.executable, "-c", ARRIVE, address]
    env = stack.env | {"TWIT_OPEN_API": "on"} | env
    sent = subprocess.run(
        command, cwd=CHECKOUT, env=env, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    assert sent[0] == status
    assert ('{"detail": "This open API serves only' in sent[1]) == (status == "403")


def test_no_secret_is_logged(stack: Stack, site: Site) -> None:
    """The log level is DEBUG, the access log is on, and some requests fail."""
    stack.env["DATABASE_URL"] = site.env["DATABASE_URL"]
    key = "the secret key of this very test"
    web = stack.start_web(
        access_log=True, TWIT_OPEN_API="off", TWIT_LOG_LEVEL="DEBUG", SECRET_KEY=key
    )
    password = "password of ben"
    token = web.post("/auth/login", json={"username": "ben", "password": password}).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    web.post("/auth/login", json={"username": "ben", "password": "a wrong password"})
    web.post(
        "/auth/login",
        content=b'{"username": "ben", "password": "in broken JSON',
        headers={"Content-Type": "application/json"},
    )
    web.post("/tweets", json={"message": "hi"}, headers=bearer)
    web.post("/tweets", json={"message": ""}, headers=bearer)
    web.get("/tweets/followed/1", headers=bearer)
    web.post("/auth/logout", headers=bearer)
    web.get("/tweets", headers=bearer)
    stack.stop()
    output = stack.log("web")
    assert "/auth/login" in output
    database_password = re.findall(r"://[^:]*:([^@]*)@", site.env["DATABASE_URL"])[0]
    assert database_password == "tests"
    for secret in (token, password, "a wrong password", "in broken JSON", key, ":tests@"):
        assert secret not in output, secret


def test_the_docs_work_without_the_internet(site: Site) -> None:
    page = site.client().get("/docs").text
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert len(addresses) >= 4
    for address in addresses:
        assert address.startswith("/")
        assert site.client().get(address.replace("&amp;", "&")).status_code == 200
    script = site.client().get("/docs?script=").text
    assert "/schema" in script
    assert not re.findall(r"https?://(?!127\.0\.0\.1)", page + script)


def test_the_root_lists_the_endpoints(site: Site) -> None:
    root = site.client().get("/").json()
    listed = {f"{e['method']} {e['path']}" for e in root["endpoints"]}
    assert {
        *("GET /tweets", "POST /tweets", "GET /tweets/{tweet_id}", "DELETE /tweets/{tweet_id}"),
        "GET /tweets/{tweet_id}/delivery",
        *("GET /tweets/user/{user_id}", "GET /tweets/followed/{user_id}", "POST /auth/login"),
        *("GET /livez", "GET /readyz", "GET /tweets/followed/{user_id}/stream"),
        *("GET /", "POST /auth/logout", "POST /auth/logoutall"),
        *("GET /me", "PUT /me/password", "GET /me/tokens", "DELETE /me/tokens/{token_id}"),
        *("GET /users", "POST /users", "GET /users/{user_id}"),
        *("GET /users/{user_id}/followed", "GET /users/{user_id}/followers"),
        *(f"{method} /users/{{user_id}}/followed/{{followed_id}}" for method in ("PUT", "DELETE")),
    } == listed
    assert all(e["summary"] for e in root["endpoints"])
    for address in (root["schema"], root["docs"]):
        assert site.client().get(address).status_code == 200


def test_openapi_yml_is_up_to_date(tmp_path: Path) -> None:
    generated = tmp_path / "openapi.yml"
    command = ["manage.py", "spectacular", "--file", str(generated), "--validate", "--fail-on-warn"]
    env = {"TWIT_OPEN_API": "off", "PATH": ""}
    subprocess.run([sys.executable, *command], cwd=CHECKOUT, env=env, check=True)
    assert generated.read_text() == (CHECKOUT / "openapi.yml").read_text()


def test_the_examples_conform_to_their_schemas() -> None:
    document = yaml.safe_load((CHECKOUT / "openapi.yml").read_text())
    fitting = 0
    for operations in document["paths"].values():
        for operation in operations.values():
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                for content in part.get("content", {}).values():
                    whole = {**content["schema"], "components": document["components"]}
                    for example in content.get("examples", {}).values():
                        Draft202012Validator(whole).validate(example["value"])
                        fitting += 1
    assert fitting == 19  # 4 request bodies and 15 response bodies
