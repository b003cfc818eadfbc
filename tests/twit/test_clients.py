"""Real clients: two generated ones, curl and httpx. Each signs in, posts, reads and deletes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.site import UNLIMITED, Site
from tests.stack import CHECKOUT, Stack

pytestmark = pytest.mark.slow

CREDENTIALS = {"username": "louis", "password": "password of louis"}


@pytest.fixture
def address(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where people can sign up on the site, and a worker delivers."""
    server = Stack(
        tmp_path_factory.mktemp("server"), site.env["DATABASE_URL"], site.env["REDIS_URL"]
    )
    server.env |= {name: site.env[name] for name in UNLIMITED}
    server.start_web(TWIT_OPEN_API="off", TWIT_SIGN_UP="on")
    server.start_worker("worker")
    yield server.address
    server.stop()


def test_a_client_generated_from_the_schema(site: Site, address: str, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    generate = [
        *(str(Path(sys.executable).with_name("openapi-python-client")), "generate"),
        *("--path", str(CHECKOUT / "openapi.yml"), "--fail-on-warning", "--config", "config.yml"),
        *("--meta", "none", "--output-path", "twit_client"),
    ]
    subprocess.run(generate, cwd=tmp_path, check=True, capture_output=True)
    shutil.copy(CHECKOUT / "tests/twit/generated_client.py", tmp_path / "walk.py")
    walk = [sys.executable, "walk.py", address]
    walked = subprocess.run(
        walk, cwd=tmp_path, env=site.env, check=True, stdout=subprocess.PIPE, text=True
    )
    assert walked.stdout == "walked\n"


@pytest.mark.skipif(not shutil.which("npm"), reason="npm (Debian's nodejs and npm) is missing")
def test_a_typescript_client_generated_from_the_schema(
    site: Site, address: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(CHECKOUT / "tests/twit/typescript", tmp_path / "client")
    binaries = folder / "node_modules/.bin"

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, env=site.env, check=False, capture_output=True, text=True
        )

    installed = run("npm", "install")
    if installed.returncode and "CI" not in os.environ:
        pytest.skip(f"npm can't install packages here: {installed.stderr}")
    generate = (binaries / "openapi-typescript", CHECKOUT / "openapi.yml", "--output", "api.d.ts")
    compiled = [installed, run(*generate), run(binaries / "tsc")]
    walked = run("node", "walk.js", address)
    for step in (*compiled, walked):
        assert step.returncode == 0, step.stdout + step.stderr
    assert walked.stdout == "walked\n"


def test_curl(site: Site) -> None:
    def curl(path: str, *options: str) -> Any:
        command = ["curl", "--silent", "--show-error", "--fail", *options, site.address + path]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output) if output else None

    as_json = ("--json", json.dumps(CREDENTIALS))
    signed_in = curl("/auth/login", *as_json)
    bearer = ("--header", f"Authorization: Bearer {signed_in['token']}")
    first = curl("/tweets", *bearer, "--data-urlencode", "message=first & 🌙")
    second = curl("/tweets", *bearer, "--form", "message=second")
    assert first["message"] == "first & 🌙"
    timeline = f"/tweets/user/{signed_in['userId']}"
    assert curl(f"{timeline}?limit=2") == [second, first]
    assert curl(f"{timeline}?limit=1&max_id={second['id']}", "--compressed") == [first]
    assert isinstance(curl(f"/tweets/followed/{signed_in['userId']}", *bearer), list)
    curl(f"/tweets/{second['id']}", *bearer, "--request", "DELETE")
    assert curl(f"{timeline}?limit=1") == [first]
    curl("/auth/logout", *bearer, "--request", "POST")


def test_httpx(site: Site) -> None:
    with httpx.Client(base_url=site.address, trust_env=False, timeout=30) as client:
        signed_in = client.post("/auth/login", json=CREDENTIALS).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {signed_in['token']}"
        posted = [
            client.post("/tweets", json={"message": f"{n}"}).raise_for_status().json()
            for n in range(5)
        ]
        timeline = f"/tweets/user/{signed_in['userId']}"
        page = client.get(timeline, params={"limit": 2, "since_id": int(posted[0]["id"]) - 1})
        found = page.json()
        while "next" in page.links:
            page = client.get(page.links["next"]["url"])
            found += page.json()
        assert found == posted[::-1]
        cached = client.get(timeline, headers={"If-None-Match": "*"})
        assert cached.status_code == 304
        assert client.get(f"/tweets/followed/{signed_in['userId']}").is_success
        for tweet in posted:
            assert client.delete(f"/tweets/{tweet['id']}").status_code == 204
        assert client.get(timeline, params={"since_id": posted[0]["id"]}).json() == []
        assert client.post("/auth/logoutall").status_code == 204
        assert client.post("/tweets", json={"message": "x"}).status_code == 401
