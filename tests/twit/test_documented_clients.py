"""The clients that docs/api.md shows post, poll, and wait when they are told to."""

import re
import shutil
import subprocess
import time
from itertools import takewhile
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


def test_the_python_client_posts_and_waits_and_polls(site: Site, slow: Stack) -> None:
    shown: dict[str, Any] = {}
    exec(code("python"), shown)
    token = site.login("eva")

    def post(message: str) -> Any:
        body = {"message": message}
        return shown["call"]("POST", f"{slow.address}/tweets", token, json=body).json()

    started = time.monotonic()
    posted = [post("first"), post("second")]
    assert time.monotonic() - started > 0.9
    polled = shown["poll"](f"{slow.address}/tweets/user/{posted[0]['userId']}", token, 0)
    found = list(takewhile(lambda tweet: tweet != posted[1], polled))
    assert found[-1] == posted[0]
    third = post("third")
    assert next(polled) == third


WALK = """
import { call, poll } from "./client.js";
const [api, token] = process.argv.slice(2);
const post = async (message) => (await call("POST", `${api}/tweets`, token, { message })).json();
await post("first");
const { userId } = await post("second");
for await (const { message } of poll(`${api}/tweets/user/${userId}`, token, 0)) {
  console.log(message);
  if (message === "second") await post("third");
  if (message === "third") break;
}
const refused = await call("POST", `${api}/tweets`, "wrong", {}).catch((error) => error);
console.log(refused.message);
"""


@pytest.mark.skipif(
    not (shutil.which("tsc") and shutil.which("node")),
    reason="node and tsc (Debian's nodejs and node-typescript) are missing",
)
def test_the_typescript_client_compiles_strictly_and_posts_and_waits_and_polls(
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
    refused = "Invalid token: unknown, expired or revoked."
    assert walked.stdout.splitlines()[-4:] == ["first", "second", "third", refused]
