"""The clients that docs/api.md shows post, read, and wait when they are told to."""

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.site import Site
from tests.stack import CHECKOUT, Stack

API_DOCS = (CHECKOUT / "docs/api.md").read_text()


def code(language: str) -> str:
    [block] = re.findall(rf"```{language}\n(.*?)```", API_DOCS, re.DOTALL)
    return str(block)


@pytest.fixture
def slow(site: Site, tmp_path: Path) -> Any:
    """The site, with a limit of one post per second."""
    limited = Stack(tmp_path, site.env["DATABASE_URL"], site.env["REDIS_URL"])
    limited.start_web(TWIT_OPEN_API="off", TWIT_LIMIT_POSTS="1/1s", TWIT_LIMIT_REQUESTS="off")
    yield limited
    limited.stop()


def test_the_python_client_posts_and_reads_and_waits(site: Site, slow: Stack) -> None:
    shown: dict[str, Any] = {}
    exec(code("python"), shown)
    call, token = shown["call"], site.login("eva")
    started = time.monotonic()
    for number in (1, 2):
        body = {"message": f"post {number}"}
        posted = call("POST", f"{slow.address}/tweets", token, json=body)
    assert time.monotonic() - started > 0.9
    page = call("GET", f"{slow.address}/tweets/user/{posted.json()['userId']}", token)
    assert [tweet["message"] for tweet in page.json()[:2]] == ["post 2", "post 1"]


WALK = """
import { call, timeline } from "./client.js";
const [api, token] = process.argv.slice(2);
for (const message of ["one", "two"]) {
  const response = await call("POST", `${api}/tweets`, token, { message });
  if (response.status !== 201) throw new Error(`${response.status}`);
}
const tweets = await timeline(api, "2", token);
console.log(tweets.map((tweet) => tweet.userName).join());
"""


@pytest.mark.skipif(
    not (shutil.which("tsc") and shutil.which("node")),
    reason="node and tsc (Debian's nodejs and node-typescript) are missing",
)
def test_the_typescript_client_compiles_strictly_and_posts_and_reads_and_waits(
    site: Site, slow: Stack, tmp_path: Path
) -> None:
    (tmp_path / "client.ts").write_text(code("typescript"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "walk.js").write_text(WALK)
    options = ["--strict", "--target", "es2022", "--module", "es2022", "--lib", "es2022,dom"]
    subprocess.run(["tsc", *options, "client.ts"], cwd=tmp_path, check=True)
    command = ["node", "--experimental-global-webcrypto", "walk.js", slow.address]
    started = time.monotonic()
    walked = subprocess.run(
        [*command, site.login("alyssa")], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert time.monotonic() - started > 0.9
    assert set(walked.stdout.strip().split(",")) <= {"ben", "louis", "eva", "cy", "alyssa"}
