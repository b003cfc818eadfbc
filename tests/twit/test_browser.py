"""The pages in a real browser, which obeys their Content-Security-Policy and tells where it is."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.browser import IS_INSTALLED, Browser
from tests.stack import Stack, wait_until
from tests.timelines.lists import deliver_all, page
from timelines.models import FanOut
from tweets.models import Tweet
from twit.local.net import LOOPBACK
from users.models import Follow, User

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="Debian's chromium-driver is missing")

ADMIN = [
    *("users/user/", "users/user/add/", "users/user/1/change/", "users/user/1/password/"),
    *("users/follow/", "users/follow/add/", "tweets/tweet/", "tweets/tweet/1/change/"),
    *("timelines/fanout/", "knox/authtoken/", "auth/group/add/", "tweets/tweet/1/delete/"),
    *("", "users/user/2/timeline/?tweet=1", "timelines/flag/", "timelines/admission/"),
]
FOREIGN_PAGE = """
<form method="post" action="{address}/tweets" enctype="{enctype}">
<input name="userId" value="1"><input name="message" value="forged"></form>
<script>document.forms[0].submit()</script>
"""


@pytest.fixture
def address(transactional_db: None, web_stack: Stack) -> str:
    """The address of an open server with the demo's data and a superuser."""
    call_command("loaddata", "demo", verbosity=0)
    User.objects.create_superuser("admin", password="a long one")
    return web_stack.address


def assert_follows_its_policy(browser: Browser) -> None:
    assert "Content Security Policy" not in (messages := browser.console()), messages


def test_swagger_ui_posts_a_tweet(browser: Browser, address: str) -> None:
    browser.open(f"{address}/docs")
    post = ".opblock-post[id*=postTweet]"
    browser.click(f"{post} .opblock-summary-control")
    browser.click(f"{post} .try-out__btn")
    browser.click(f"{post} .execute")
    assert browser.text(f"{post} .live-responses-table .response .response-col_status") == "201"
    assert Tweet.objects.latest("id").message == "hello"
    assert_follows_its_policy(browser)


def test_the_browsable_api_posts_and_deletes_a_tweet(browser: Browser, address: str) -> None:
    for path in ("/tweets/followed/2", "/tweets/user/1", "/auth/session/login", "/tweets"):
        browser.open(f"{address}{path}")
        assert_follows_its_policy(browser)
    browser.fill("[name=userId]", "1")
    browser.fill("[name=message]", "from a form")
    browser.click("#post-object-form .btn-primary")
    wait_until(Tweet.objects.filter(message="from a form").exists)
    browser.open(f"{address}/tweets/{Tweet.objects.latest('id').pk}")
    browser.click("[data-target='#deleteModal']")
    browser.click("#deleteModal .btn-danger")
    wait_until(lambda: not Tweet.objects.filter(message="from a form").exists())
    assert_follows_its_policy(browser)


def sign_in(browser: Browser, address: str) -> None:
    browser.open(f"{address}/admin/login/")
    browser.fill("#id_username", "admin")
    browser.fill("#id_password", "a long one")
    browser.click("[type=submit]")
    assert "admin" in browser.text("#user-tools")


def test_the_admin_works(browser: Browser, address: str) -> None:
    sign_in(browser, address)
    page(User.objects.get(pk=2))
    browser.size(390, 800)
    for path in ADMIN:
        browser.open(f"{address}/admin/{path}")
        assert browser.text("#content h1")
        assert browser.run("return document.documentElement.scrollWidth") <= 390, path
        assert_follows_its_policy(browser)
    browser.open(f"{address}/admin/users/follow/add/")
    browser.run("jQuery = django.jQuery; jQuery('#id_follower').select2('open')")
    wait_until(lambda: "alyssa" in browser.text(".select2-results__options"))
    assert_follows_its_policy(browser)


def test_the_start_page_of_the_admin_follows_the_backlog(browser: Browser, address: str) -> None:
    sign_in(browser, address)
    pending = FanOut.objects.count()
    wait_until(lambda: browser.text("#pending") == str(pending))
    FanOut.objects.create(kind="deliver", tweet_id=1, author_id=1, attempts=2)
    wait_until(lambda: browser.text("#pending") == str(pending + 1))
    assert browser.text("#failing") == "1"
    wait_until(lambda: "0 answer" in browser.text("#workers"))
    wait_until(lambda: "a second" in browser.text("#rate"))
    assert_follows_its_policy(browser)


def test_the_admin_tells_why_alyssa_does_not_see_a_tweet(browser: Browser, address: str) -> None:
    alyssa = User.objects.get(username="alyssa")
    followed = Follow.objects.filter(follower=alyssa).latest("id").followed
    page(alyssa)
    tweet = Tweet.objects.create(author=followed, message="not delivered yet")
    sign_in(browser, address)
    browser.click(".model-user th a")
    browser.click(f"#result_list [href*='/user/{alyssa.pk}/change']")
    browser.click("#home-timeline")
    assert browser.text("#answer").strip() == "The list is believed."
    browser.fill("#tweet", str(tweet.pk))
    browser.click("#which-tweet [type=submit]")
    wait_until(lambda: "its delivery has not begun" in browser.text("#answer"))
    assert f"user {alyssa.pk} is still to be reached" in browser.text("#about-tweet")
    deliver_all()
    browser.click("#which-tweet [type=submit]")
    wait_until(lambda: "Shown on page 1" in browser.text("#answer"))
    browser.click("#newest-entries tr:nth-of-type(2) a")
    wait_until(lambda: str(tweet.pk) not in browser.run("return location.search"))
    assert "Shown on page 1" in browser.text("#answer")
    assert_follows_its_policy(browser)


@pytest.mark.parametrize(
    ("host", "enctype"),
    [(LOOPBACK, "application/x-www-form-urlencoded"), ("localhost", "multipart/form-data")],
)
def test_a_form_on_a_page_of_another_site_posts_nothing(
    browser: Browser, address: str, tmp_path: Path, host: str, enctype: str
) -> None:
    """Another port of the same host is another site too."""
    (tmp_path / "index.html").write_text(FOREIGN_PAGE.format(address=address, enctype=enctype))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as foreign:
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        browser.open(f"http://{host}:{foreign.server_port}/")
        wait_until(lambda: "detail" in browser.text("body"))
        foreign.shutdown()
    assert "another site" in browser.text("body")
    assert not Tweet.objects.filter(message="forged").exists()


def test_no_other_page_can_frame_the_docs(browser: Browser, address: str, tmp_path: Path) -> None:
    page = tmp_path / "frame.html"
    page.write_text(f'<iframe src="{address}/docs"></iframe>')
    browser.open(page.as_uri())
    wait_until(lambda: "frame-ancestors" in browser.console())
