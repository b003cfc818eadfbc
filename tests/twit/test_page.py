"""The page at "/" in a real browser."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import call_command

from tests.browser import DESKTOP, IS_INSTALLED, Browser
from tests.factories import TweetFactory
from tests.site import Site
from tests.stack import CHECKOUT, Stack, wait_until
from tests.timelines.lists import deliver_all
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="Debian's chromium-driver is missing")

BEN, ALYSSA, LOUIS, EVA, CY = "12345"  # the demo's ids
MESSAGES, ALERT, STATE = "#tweets .message", "#alert", "#state"
PHONE = (360, 740)
PICTURES = [
    ("page.png", DESKTOP, False),
    ("page-dark.png", DESKTOP, True),
    ("page-on-a-phone.png", PHONE, False),
    ("page-on-a-phone-dark.png", PHONE, True),
]
POSTED, ANSWER = "Posted, and on its way.", "@ben it has arrived before I looked."
AXE = "axe-core@4.14.1"
# The script's parser gets each byte in a chunk of its own.
PARSE = """
const bytes = new TextEncoder().encode(arguments[0]);
const chunks = new ReadableStream({start(controller) {
  for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
  controller.close();
}});
return (async () => {
  const {blocks} = await import(document.querySelector("script[type=module]").src);
  const found = [];
  for await (const block of blocks(new Response(chunks), () => {})) found.push(block);
  return found;
})();
"""
REFUSE_ONCE = """
const {fetch} = window, headers = {"Retry-After": arguments[0]};
window.fetch = async (path, request) => {
  if (!path.startsWith("/users?")) return fetch(path, request);
  window.fetch = fetch;
  return Response.json({detail: "Busy."}, {status: 503, headers});
};
"""
SENT = (
    ": heartbeat\n\nretry: 3000\r\nid: a b\r\n\r\n"
    "id:c\nevent: tweet\ndata: {é:\ndata: 🌙}\n\nid: cut"
)


@pytest.fixture
def server(transactional_db: None, web_stack: Stack) -> httpx.Client:
    """An open server with the demo's data."""
    call_command("loaddata", "demo", verbosity=0)
    return web_stack.client()


def read(browser: Browser, server: httpx.Client, name: str) -> None:
    """Open a user's home timeline."""
    browser.open(f"{server.base_url}/")
    browser.click(f"[aria-label='Choose {name}']")
    wait_until(lambda: browser.text(STATE) == "live")


def post(server: httpx.Client, user_id: str, message: str) -> str:
    """Post a tweet over HTTP. Return its id."""
    body = {"userId": user_id, "message": message}
    return str(server.post("/tweets", json=body).raise_for_status().json()["id"])


def assert_keeps_to_itself(browser: Browser, address: str) -> None:
    """Check that nothing was logged or forbidden, and that no other host was asked."""
    assert browser.console() == ""
    assert not [name for name in asked_for(browser) if not name.startswith(address)]


def asked_for(browser: Browser) -> list[str]:
    """Return the addresses of all requests of the page that have ended."""
    entries = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    return list(browser.run(entries))


def test_tweets_come_and_go_without_a_reload(
    server: httpx.Client, browser: Browser, stack: Stack
) -> None:
    stack.start_worker("worker")
    read(browser, server, "ben")
    before = browser.texts(MESSAGES)
    ids = [post(server, ALYSSA, "one 🌙"), post(server, EVA, "<b>two</b>")]
    wait_until(lambda: browser.texts(MESSAGES) == ["<b>two</b>", "one 🌙", *before])
    assert browser.text("#latency").startswith("last tweet after ")
    assert browser.text("#announcement") == "New tweet by eva: <b>two</b>"
    server.delete(f"/tweets/{ids[0]}")
    wait_until(lambda: browser.texts(MESSAGES) == ["<b>two</b>", *before])
    assert_keeps_to_itself(browser, str(server.base_url))


def test_a_post_shows_how_many_followers_it_has_reached(
    server: httpx.Client, browser: Browser
) -> None:
    read(browser, server, "ben")
    browser.fill("#message", " hello ")
    assert browser.text("#left") == "275"
    browser.click("#compose .main")
    wait_until(lambda: browser.text("#reached") == "0 of 3 followers reached")
    deliver_all()
    wait_until(lambda: browser.text("#reached") == "3 of 3 followers reached")
    browser.click("#own-view")
    wait_until(lambda: browser.texts(MESSAGES)[:1] == ["hello"])
    browser.run("document.querySelector('#tweets button').focus()")
    browser.click("#tweets button")
    wait_until(lambda: "hello" not in browser.texts(MESSAGES))
    assert browser.run("return document.activeElement.matches('#tweets > :first-child')")
    assert_keeps_to_itself(browser, str(server.base_url))


def test_following_and_unfollowing_change_the_timeline(
    server: httpx.Client, browser: Browser
) -> None:
    read(browser, server, "ben")
    assert set(browser.texts("#tweets .name")) == {"alyssa", "eva"}
    browser.click("#followers [aria-label='Follow louis']")
    wait_until(lambda: set(browser.texts("#tweets .name")) == {"alyssa", "eva", "louis"})
    assert browser.texts("#followed .name") == ["louis", "eva", "alyssa"]
    browser.click("#followed [aria-label='Unfollow alyssa']")
    wait_until(lambda: set(browser.texts("#tweets .name")) == {"eva", "louis"})
    browser.fill("#find-name", "cy")
    browser.click("#find button")
    browser.click("#found [aria-label='Follow cy']")
    wait_until(lambda: "cy" in browser.texts("#tweets .name"))
    follows = Follow.objects.filter(follower_id=int(BEN))
    assert set(follows.values_list("followed__username", flat=True)) == {"eva", "louis", "cy"}


def test_a_reader_scrolls_to_the_end_while_new_tweets_wait(
    server: httpx.Client, browser: Browser
) -> None:
    TweetFactory.create_batch(50, author=User.objects.get(pk=ALYSSA))
    read(browser, server, "cy")
    assert len(browser.texts(MESSAGES)) < Tweet.objects.count()
    script = "scrollTo(0, 1e6); return !document.getElementById('end').hidden"
    wait_until(lambda: browser.run(script))
    shown = browser.texts(MESSAGES)
    by = Tweet.objects.filter(author__followed_by__follower_id=int(CY)).order_by("-id")
    assert shown == list(by.values_list("message", flat=True))
    post(server, EVA, "new")
    deliver_all()
    wait_until(lambda: browser.text("#show-held") == "Show 1 new tweet")
    assert browser.texts(MESSAGES) == shown
    browser.click("#show-held")
    assert browser.texts(MESSAGES) == ["new", *shown]
    assert browser.run("return document.activeElement.textContent.includes('new')")
    assert_keeps_to_itself(browser, str(server.base_url))


def test_it_reconnects_when_the_server_is_back(stack: Stack, browser: Browser) -> None:
    call_command("loaddata", "demo", verbosity=0)
    server = stack.start_web()
    read(browser, server, "ben")
    before = browser.texts(MESSAGES)
    post(server, ALYSSA, "before")
    deliver_all()
    wait_until(lambda: browser.texts(MESSAGES)[0] == "before")
    stack.kill("web")
    wait_until(lambda: browser.text(STATE) == "reconnecting …")
    browser.fill("#message", "sent again")
    browser.click("#compose .main")
    wait_until(lambda: browser.text(ALERT) == "The server does not answer.")
    Tweet.objects.create(author_id=ALYSSA, message="meanwhile")
    deliver_all()
    stack.start_web(server.base_url.port, access_log=True)
    wait_until(lambda: browser.texts(MESSAGES) == ["meanwhile", "before", *before])
    [first, *_] = [name for name in asked_for(browser) if "/stream?after=" in name]
    [cursor] = {*re.findall(r"/stream\?after=([\w-]+)", stack.log("web"))}
    assert not first.endswith(f"={cursor}")  # it goes on where it was, not where it began
    browser.click("#compose .main")
    wait_until(Tweet.objects.filter(message="sent again").exists)
    wait_until(lambda: browser.run("return document.getElementById('message').value") == "")
    assert browser.text(ALERT) == ""


def sign_in(browser: Browser, site: Site, name: str) -> str:
    """Sign in. Return the token that the page keeps."""
    browser.open(f"{site.address}/")
    browser.fill("#username", name)
    browser.fill("#password", f"password of {name}")
    browser.click("#sign-in button")
    wait_until(lambda: browser.texts("#followers .name"))  # the last request
    assert browser.text("#reader") == name
    return str(json.loads(browser.run("return sessionStorage.twit"))["token"])


def asks_to_sign_in(browser: Browser) -> bool:
    return bool(browser.run("return document.getElementById('sign-in')?.checkVisibility()"))


def test_a_user_signs_in_reads_and_signs_out(site: Site, browser: Browser) -> None:
    token = sign_in(browser, site, "alyssa")
    assert site.client(token).get("/me").json()["username"] == "alyssa"
    wait_until(lambda: "ben" in browser.texts("#tweets .name"))
    browser.open(f"{site.address}/")  # a reload keeps the token
    wait_until(lambda: browser.texts("#followers .name"))
    browser.click("#leave")
    wait_until(lambda: asks_to_sign_in(browser))
    assert site.client(token).get("/me").status_code == 401
    assert token not in browser.run("return JSON.stringify(sessionStorage)")
    assert_keeps_to_itself(browser, site.address)


def test_a_401_leads_back_to_the_sign_in(site: Site, browser: Browser) -> None:
    token = sign_in(browser, site, "eva")
    browser.click("#own-view")  # has no stream, which would notice it too
    wait_until(lambda: set(browser.texts("#tweets .name")) == {"eva"})
    site.client(token).post("/auth/logout")
    browser.click("#home-view")
    wait_until(lambda: asks_to_sign_in(browser))
    assert browser.text(ALERT) == "Invalid token: unknown, expired or revoked."
    browser.fill("#username", "eva")
    browser.fill("#password", "wrong")
    browser.click("#sign-in button")
    wait_until(lambda: browser.text(ALERT).startswith("There is no active user"))


def test_a_refused_request_is_sent_again_when_the_server_says_so(
    site: Site, browser: Browser
) -> None:
    sign_in(browser, site, "louis")
    for seconds, expected in ((1, "Nobody has the name nobody."), (60, "Busy. Retry in 60 s.")):
        browser.run(REFUSE_ONCE, str(seconds))
        browser.fill("#find-name", "nobody")
        started = time.monotonic()
        browser.click("#find button")
        wait_until(lambda text=expected: browser.text(ALERT) == text)  # type: ignore[misc]
        assert seconds != 1 or time.monotonic() - started >= 1


def test_the_stream_may_be_cut_anywhere(site: Site, browser: Browser) -> None:
    browser.open(f"{site.address}/")
    assert browser.run(PARSE, SENT) == [
        {},
        {"retry": "3000", "id": "a b"},
        {"id": "c", "event": "tweet", "data": "{é:\n🌙}"},
    ]


def test_the_page_is_accessible_in_light_and_dark(
    server: httpx.Client, browser: Browser, tmp_path: Path, axe: str
) -> None:
    pictures = Path(os.environ.get("TWIT_PICTURES", tmp_path))

    def violations() -> Any:
        found = browser.run(f"{axe}; return axe.run()")
        assert len(found["passes"]) > 20
        rules = found["violations"]
        return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in rules]

    for name, size, is_dark in PICTURES:
        browser.size(*size, is_dark=is_dark)
        read(browser, server, "ben")
        browser.fill("#message", POSTED)
        browser.click("#compose .main")
        post(server, ALYSSA, ANSWER)
        deliver_all()
        wait_until(lambda: browser.text("#reached") == "3 of 3 followers reached")
        wait_until(lambda: browser.text(MESSAGES) == ANSWER)
        assert violations() == []
        assert browser.run("return document.documentElement.scrollWidth") <= size[0]
        (pictures / name).write_bytes(browser.picture())
        Tweet.objects.filter(message__in=(POSTED, ANSWER)).delete()
        browser.click("#leave")
        wait_until(lambda: browser.texts("#choices .name"))
        assert violations() == []
    assert_keeps_to_itself(browser, str(server.base_url))


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    if not shutil.which("npm"):
        pytest.skip("npm (Debian's npm) is missing")
    folder = tmp_path_factory.mktemp("axe")
    shutil.copy(CHECKOUT / "tests/twit/typescript/.npmrc", folder)
    command = ["npm", "install", AXE]
    installed = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if installed.returncode and "CI" not in os.environ:
        pytest.skip(f"npm can't install {AXE} here: {installed.stderr}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text()
