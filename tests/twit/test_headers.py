"""Who may keep a response, and what its page may do."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import trans_real
from rest_framework.test import APIClient

from api.middleware import CONTENT_SECURITY_POLICY
from api.root import PAGE_SECURITY_POLICY
from tests.factories import TweetFactory
from tests.site import Site
from users.models import User

PATHS = [
    *("/", "/tweets", "/tweets/1", "/tweets/user/1", "/tweets/followed/1"),
    *("/schema", "/docs", "/docs?script=", "/tweets/999999", "/nowhere", "/admin/"),
]


def assert_private(response: Any, caching: str = "private, no-cache") -> None:
    where = f"{response.request.method} {response.request.url} {response.status_code}"
    told = {part.strip() for part in response.headers["Cache-Control"].split(",")}
    assert told >= set(caching.split(", ")), where
    varies = {name.strip() for name in response.headers["Vary"].split(",")}
    assert varies >= {"Authorization", "Cookie"}, where


@pytest.mark.parametrize("path", PATHS)
def test_no_shared_cache_keeps_an_answer(site: Site, path: str) -> None:
    """Neither errors nor what somebody without a token gets, nor 304s."""
    for token in (None, site.login("ben"), "wrong"):
        client = site.client(token)
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
            assert_private(client.request(method, "/tweets/999999" if method == "DELETE" else path))
        for accept in ("text/html", "application/xml"):
            assert_private(client.get(path, headers={"Accept": accept}))
        unchanged = client.get(path, headers={"If-None-Match": "*"})
        assert unchanged.status_code in (304, 302, 401, 403, 404)
        assert_private(unchanged)


def test_a_post_and_its_refusals_are_private_too(site: Site) -> None:
    client = site.client(site.login("ben"))
    for body in ({"message": "hello"}, {"message": ""}, {"message": "x" * 70_000}):
        assert_private(client.post("/tweets", json=body))
    assert_private(client.post("/tweets", content=iter([b"{}"])))


def test_a_token_is_stored_nowhere(site: Site) -> None:
    credentials = {"username": "ben", "password": "password of ben"}
    assert_private(site.client().post("/auth/login", json=credentials), "no-store")


def test_a_static_file_may_be_kept(site: Site) -> None:
    answer = site.client().get("/static/rest_framework/css/default.css")
    assert "private" not in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_a_304_of_an_open_api_is_private_too(api: APIClient, ben: User) -> None:
    TweetFactory.create(author=ben)
    first = api.get("/tweets")
    again = api.get("/tweets", headers={"if-none-match": first["ETag"]})
    assert again.status_code == 304
    assert again["Cache-Control"] == first["Cache-Control"] == "private, no-cache"
    assert json.loads(first.content)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        *("/docs", "/tweets", "/nowhere", "/auth/session/login", "/admin/login/", "/schema"),
        "/static/drf_spectacular_sidecar/swagger-ui-dist/oauth2-redirect.html",
    ],
)
def test_every_page_and_nothing_else_has_a_content_security_policy(
    client: Client, path: str
) -> None:
    answer = client.get(path, headers={"accept": "text/html,*/*;q=0.8"})
    answer.close()  # it may be a file
    is_page = answer["Content-Type"].startswith("text/html")
    assert is_page == (path not in ("/nowhere", "/schema"))
    assert answer.get("Content-Security-Policy") == (CONTENT_SECURITY_POLICY if is_page else None)


def test_browsers_get_a_page_with_a_policy_of_its_own_and_other_clients_get_json(
    client: Client, statements: Callable[[], int]
) -> None:
    page = client.get("/", headers={"accept": "text/html,*/*;q=0.8"})
    assert page["Content-Type"].startswith("text/html")
    assert page["Content-Security-Policy"] == PAGE_SECURITY_POLICY
    assert "Accept" in page["Vary"]
    unchanged = {"accept": "text/html", "if-none-match": page["ETag"]}
    assert client.get("/", headers=unchanged).status_code == 304
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        answer = client.get("/", headers=headers)
        assert answer.json()["isOpen"]
        assert "Content-Security-Policy" not in answer
    assert not statements()


@pytest.mark.parametrize(
    ("policy", "inline"),
    [(CONTENT_SECURITY_POLICY, {"'unsafe-inline'"}), (PAGE_SECURITY_POLICY, set())],
)
def test_a_policy_allows_no_script_in_a_page_and_no_other_host(
    policy: str, inline: set[str]
) -> None:
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert (rules["default-src"], rules["script-src"]) == ("'none'", "'self'")
    assert (rules["frame-ancestors"], rules["base-uri"]) == ("'none'", "'none'")
    found = {source for rule in rules.values() for source in rule.split()}
    assert found == {"'none'", "'self'", "data:"} | inline


@pytest.mark.parametrize("key", ["\0aaaaaaaa", "'; --", "ééééééééé"])
def test_a_session_cookie_that_is_no_key_is_ignored(client: Client, db: None, key: str) -> None:
    client.cookies["sessionid"] = key
    assert client.get("/admin/").status_code == 302
    assert client.get("/tweets").status_code == 200


def test_a_language_in_a_query_is_not_remembered(client: Client, db: None) -> None:
    assert client.get("/schema?lang=remember-me").status_code == 200
    assert "remember-me" not in vars(trans_real)["_translations"]
