"""An open API does nothing that a web page of another site makes a browser send."""

from typing import Any

import pytest
from django.test import Client, override_settings
from rest_framework.test import APIClient

from tests.factories import TweetFactory
from tests.site import Site
from tests.stack import Stack
from tweets.models import Tweet
from users.models import User

FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "https://testserver"},  # the same host, but not the same scheme
    {"origin": "http://testserver:8080"},
    {"origin": "http://testserver.evil.example"},
    {"origin": "http://testserver, http://testserver"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://testserver", "sec-fetch-site": "cross-site"},
    {"origin": "http://evil.example", "sec-fetch-site": "same-origin"},
]
OWN = [
    {},
    {"origin": "http://testserver"},
    {"origin": "http://testserver", "sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
]
TRUSTED = [
    ("https://twit.example", "https://twit.example", True),
    ("https://twit.example", "http://twit.example", False),
    ("https://twit.example", "https://evil.twit.example", False),
    ("https://*.twit.example", "https://a.twit.example", True),
    ("https://*.twit.example", "https://eviltwit.example", False),
    ("http://[::1]:8000", "http://[::1]:8000", True),
]


def post(api: APIClient, user: User, headers: dict[str, str], form: str = "json") -> Any:
    body = {"userId": user.pk, "message": "hello"}
    return api.post("/tweets", body, format=form, headers=headers)


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["json", "multipart"])
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_post_from_another_site_is_refused(
    api: APIClient, ben: User, headers: dict[str, str], form: str
) -> None:
    answer = post(api, ben, headers, form)
    assert answer.status_code == 403
    assert "A web page of another site" in answer.json()["detail"]
    assert not Tweet.objects.exists()


@pytest.mark.django_db
def test_nothing_else_that_changes_something_is_accepted_from_another_site(
    api: APIClient, ben: User
) -> None:
    tweet = TweetFactory.create(author=ben)
    evil = {"origin": "http://evil.example"}
    assert api.delete(f"/tweets/{tweet.pk}", headers=evil).status_code == 403
    for path in ("/auth/login", "/auth/logout", "/auth/logoutall", "/admin/login/"):
        assert api.post(path, {"username": "ben"}, headers=evil).status_code == 403
    assert Tweet.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("headers", OWN, ids=str)
def test_a_post_from_an_own_page_or_a_script_is_accepted(
    api: APIClient, ben: User, headers: dict[str, str]
) -> None:
    assert post(api, ben, headers).status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize(("setting", "origin", "is_accepted"), TRUSTED)
def test_trusted_origins_may_post(
    api: APIClient, ben: User, setting: str, origin: str, is_accepted: bool
) -> None:
    headers = {"origin": origin, "sec-fetch-site": "cross-site"}
    with override_settings(CSRF_TRUSTED_ORIGINS=[setting]):
        assert post(api, ben, headers).status_code == (201 if is_accepted else 403)


@pytest.mark.django_db
def test_origins_of_cors_may_post_without_being_named_twice(api: APIClient, ben: User) -> None:
    headers = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    with override_settings(CORS_ALLOWED_ORIGINS=["https://app.example"]):
        assert post(api, ben, headers).status_code == 201
        assert post(api, ben, headers | {"origin": "https://b.app.example"}).status_code == 403


@pytest.mark.django_db
def test_origins_of_cors_may_not_use_the_admins_forms() -> None:
    strict = Client(enforce_csrf_checks=True)
    token = strict.get("/admin/login/").cookies["csrftoken"].value
    form = {"username": "ben", "password": "x", "csrfmiddlewaretoken": token}
    with override_settings(CORS_ALLOWED_ORIGINS=["https://app.example"]):
        foreign = strict.post("/admin/login/", form, headers={"origin": "https://app.example"})
        own = strict.post("/admin/login/", form, headers={"origin": "http://testserver"})
    assert (foreign.status_code, own.status_code) == (403, 200)


@pytest.mark.django_db
def test_reads_from_another_site_are_answered(api: APIClient) -> None:
    """Without CORS headers no page can see the answer."""
    answer = api.get("/tweets", headers={"origin": "http://evil.example"})
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_token_counts_wherever_the_page_is(site: Site) -> None:
    client = site.client(site.login("ben"), Origin="https://app.example")
    assert client.post("/tweets", json={"message": "from an app"}).status_code == 201


def test_a_running_open_server_refuses_a_foreign_form(stack: Stack, ben: User) -> None:
    web = stack.start_web()
    form = {"userId": str(ben.pk), "message": "hello"}
    assert web.post("/tweets", data=form, headers={"Origin": "null"}).status_code == 403
    assert web.post("/tweets", data=form, headers={"Origin": stack.address}).status_code == 201
