"""Unusual requests, and HTTP features beyond methods and bodies."""

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework.test import APIClient

from tests.factories import TweetFactory, UserFactory
from tests.site import Site
from timelines.delivery.rounds import run_round
from users.models import Follow, User


class AnyText(TestCase):
    """Any Unicode text: emoji, right-to-left text, combining marks, control characters."""

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
    def test_a_message_is_stored_trimmed_or_rejected(self, message: str) -> None:
        author = UserFactory.create()
        body = {"userId": author.pk, "message": message}
        response = APIClient().post("/tweets", body, format="json")
        trimmed = message.strip()
        if 1 <= len(trimmed) <= 280 and "\0" not in message:
            assert response.status_code == 201
            assert response.json()["message"] == trimmed
            again = APIClient().get(f"/tweets/{response.json()['id']}")
            assert again.json()["message"] == trimmed
        else:
            assert response.status_code == 400
            assert list(response.json()["errors"]) == ["message"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("", "application/json", 400),
        ("{", "application/json", 400),
        ("{'userId': 1}", "application/json", 400),
        ("[1, 2]", "application/json", 400),
        ('"text"', "application/json", 400),
        ("null", "application/json", 400),
        ('{"message": NaN}', "application/json", 400),
        ("[" * 10_000, "application/json", 400),
        ('{"a":' * 3_000, "application/json", 400),
        (b'{"message": "\xff"}', "application/json", 400),
        ("userId=1", "multipart/form-data", 400),
        ("<a/>", "application/xml", 415),
        ("hello", "text/plain", 415),
        ("hello", "nonsense", 415),
    ],
)
def test_an_invalid_body_is_rejected_in_json(
    api: APIClient, body: Any, content_type: str, status: int
) -> None:
    response = api.generic("POST", "/tweets", body, content_type)
    assert response.status_code == status
    assert isinstance(response.json()["detail"], str)


@pytest.mark.django_db
def test_the_longest_message_fits_even_if_it_is_escaped(api: APIClient, ben: User) -> None:
    text = json.dumps({"userId": ben.pk, "message": "🌙" * 280})
    assert "\\ud83c\\udf19" in text
    response = api.generic("POST", "/tweets", text, "application/json")
    assert response.status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["application/xml", "image/*", "text/csv"])
def test_a_client_that_accepts_no_json_gets_a_406(api: APIClient, accept: str) -> None:
    response = api.get("/tweets", headers={"accept": accept})
    assert response.status_code == 406
    assert list(response.json()) == ["detail"]


@pytest.mark.django_db
def test_both_bounds_can_be_combined(api: APIClient, ben: User) -> None:
    ids = [tweet.pk for tweet in TweetFactory.create_batch(9, author=ben)]
    page = api.get(f"/tweets?max_id={ids[6]}&since_id={ids[2]}&limit=2")
    assert [int(tweet["id"]) for tweet in page.json()] == [ids[5], ids[4]]
    older = re.findall(r'<([^>]*)>; rel="next"', page["Link"])
    rest = api.get(older[0])
    assert [int(tweet["id"]) for tweet in rest.json()] == [ids[3]]
    assert 'rel="next"' not in rest["Link"]
    assert api.get(f"/tweets?max_id={ids[2]}&since_id={ids[6]}").json() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/tweets/{tweet}", "/tweets", "/tweets/user/{author}", "/tweets/followed/{reader}"]
)
def test_a_matching_etag_gets_a_304(
    api: APIClient, ben: User, alyssa: User, follow: Callable[[User, User], Follow], path: str
) -> None:
    follow(ben, alyssa)
    tweet = TweetFactory.create(author=alyssa)
    tweet_id = tweet.pk
    path = path.format(tweet=tweet_id, author=alyssa.pk, reader=ben.pk)
    first = api.get(path)
    for known in (first["ETag"], f"W/{first['ETag']}", f'"other", {first["ETag"]}', "*"):
        again = api.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == first["ETag"]
    assert api.get(path, headers={"if-none-match": '"other"'}).content == first.content
    TweetFactory.create(author=alyssa)
    tweet.delete()
    run_round()
    changed = api.get(path, headers={"if-none-match": first["ETag"]})
    assert changed.status_code == (404 if path == f"/tweets/{tweet_id}" else 200)
    assert changed.content != first.content


def lasting(response: httpx.Response) -> dict[str, str]:
    """Return the headers that don't differ from request to request."""
    own = {"date", "x-request-id"}
    headers = {name: value for name, value in response.headers.items() if name not in own}
    if "link" in headers:  # the cursor changes as tweets become settled
        headers["link"] = re.sub(r"after=[\w-]+", "", headers["link"])
    return headers


@pytest.mark.parametrize("path", ["/tweets", "/tweets/1", "/tweets/user/1", "/tweets/999", "/"])
def test_head_is_get_without_the_body(site: Site, path: str) -> None:
    client = site.client(**{"Accept-Encoding": "identity"})
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert lasting(head) == lasting(got)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/tweets", "GET, POST, HEAD, OPTIONS"),
        ("/tweets/1", "GET, DELETE, HEAD, OPTIONS"),
        ("/tweets/user/1", "GET, HEAD, OPTIONS"),
        ("/auth/login", "POST, OPTIONS"),
    ],
)
def test_options_and_wrong_methods_list_the_allowed_methods(
    site: Site, path: str, allowed: str
) -> None:
    client = site.client(site.login("staff"))
    options = client.options(path)
    assert options.status_code == 200
    assert options.headers["Allow"] == allowed
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - set(allowed.split(", ")):
        refused = client.request(method, path)
        assert refused.status_code == 405
        assert refused.headers["Allow"] == allowed
        assert list(refused.json()) == ["detail"]


def test_pages_for_people_are_compressed_on_request(site: Site) -> None:
    plain = site.client(**{"Accept-Encoding": "identity"}).get("/schema")
    packed = site.client(**{"Accept-Encoding": "gzip"}).get("/schema")
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert packed.content == plain.content
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
    again = site.client(**{"Accept-Encoding": "gzip"}).get(
        "/schema", headers={"If-None-Match": packed.headers["ETag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize("charset", ["zlib", "hex", "rot13", "utf-16", "nonsense", '"latin-1"'])
def test_bodies_are_read_as_utf_8_whatever_charset_is_declared(site: Site, charset: str) -> None:
    client = site.client(site.login("ben"))
    claim = {"Content-Type": f"application/json; charset={charset}"}
    assert client.get("/tweets?limit=1", headers=claim).status_code == 200
    body = '{"message": "🌙"}'.encode()
    assert client.post("/tweets", content=body, headers=claim).json()["message"] == "🌙"
    form = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    posted = client.post("/tweets", content=b"message=%F0%9F%8C%99", headers=form)
    assert posted.json()["message"] == "🌙"


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["if-unmodified-since", "if-match"])
def test_reads_ignore_other_conditional_headers(api: APIClient, header: str) -> None:
    past = "Sat, 29 Oct 1994 19:43:31 GMT"
    assert api.get("/tweets", headers={header: past}).status_code == 200


@pytest.mark.django_db
def test_without_postgres_browsers_also_get_a_503_in_json(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OperationalError

    monkeypatch.setattr("api.paging.Window.from_query", fail)
    response = api.get("/tweets", headers={"accept": "text/html"})
    assert response.status_code == 503
    assert response["Retry-After"] == "1"
    assert list(response.json()) == ["detail"]


def test_a_browser_sees_pages_and_can_sign_in(site: Site) -> None:
    browser = site.client(Accept="text/html,*/*;q=0.8")
    page = browser.get("/tweets")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "/auth/session/login" in page.text
    static = re.findall(r'(?:href|src)="(/static/[^"]*)"', page.text)
    assert static
    assert {browser.get(address).status_code for address in static} == {200}
    form = browser.get("/auth/session/login?next=/tweets")
    assert form.status_code == 200
    token = browser.cookies["csrftoken"]
    credentials = {"username": "ben", "password": "password of ben"}
    answer = browser.post(
        "/auth/session/login?next=/tweets", data={**credentials, "csrfmiddlewaretoken": token}
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, "/tweets")
    tweet = {"message": "from a browser"}
    assert browser.post("/tweets", json=tweet).status_code == 403  # without a CSRF token
    posted = browser.post(
        "/tweets", json=tweet, headers={"X-CSRFToken": browser.cookies["csrftoken"]}
    )
    assert posted.status_code == 201
