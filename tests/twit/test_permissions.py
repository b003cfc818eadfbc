"""Who may do what on a server that requires tokens, over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from pytest_django import Settings
from rest_framework.test import APIClient

from api import limits
from tests.factories import TweetFactory
from tests.site import Site
from users.authentication import CHALLENGE
from users.models import User
from users.tokens import issue

# No token; ben, who owns the timeline and the tweet; alyssa; a user of the admin; a user with the
# permissions to act for others; ben with two invalid tokens.
WHO = ("anonymous", "owner", "other", "staff", "moderator", "expired", "revoked")
HELLO = {"message": "hello"}
NEW_USER = {"username": "new", "password": "a-long-secret-7"}
WEAK = {"currentPassword": "x", "newPassword": "x"}
CREDENTIALS = {"username": "ben", "password": "password of ben"}
MATRIX: list[tuple[str, Any, tuple[int, ...]]] = [
    ("GET /", None, (200, 200, 200, 200, 200, 200, 200)),
    ("GET /schema", None, (200, 200, 200, 200, 200, 200, 200)),
    ("GET /docs", None, (200, 200, 200, 200, 200, 200, 200)),
    ("GET /tweets", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /tweets/{tweet}", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /tweets/{tweet}/delivery", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /tweets/user/{ben}", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /tweets/followed/{ben}", None, (401, 200, 403, 403, 200, 401, 401)),
    ("GET /tweets/followed/999999", None, (401, 403, 403, 403, 404, 401, 401)),
    ("POST /tweets", HELLO, (401, 201, 201, 201, 201, 401, 401)),
    ("POST /tweets", HELLO | {"userId": "{ben}"}, (401, 201, 403, 403, 201, 401, 401)),
    ("POST /tweets", HELLO | {"userId": "999999"}, (401, 403, 403, 403, 400, 401, 401)),
    ("DELETE /tweets/{tweet}", None, (401, 204, 403, 403, 204, 401, 401)),
    ("DELETE /tweets/999999", None, (401, 404, 404, 404, 404, 401, 401)),
    ("GET /users", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /users?username=ben", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /users/{ben}", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /users/{ben}/followed", None, (200, 200, 200, 200, 200, 401, 401)),
    ("GET /users/{ben}/followers", None, (200, 200, 200, 200, 200, 401, 401)),
    ("PUT /users/{ben}/followed/{cy}", None, (401, 204, 403, 403, 204, 401, 401)),
    ("PUT /users/{ben}/followed/{ben}", None, (401, 400, 403, 403, 400, 401, 401)),
    ("PUT /users/{ben}/followed/999999", None, (401, 404, 403, 403, 404, 401, 401)),
    ("PUT /users/999999/followed/{ben}", None, (401, 403, 403, 403, 404, 401, 401)),
    ("DELETE /users/{ben}/followed/{cy}", None, (401, 204, 403, 403, 204, 401, 401)),
    ("DELETE /users/999999/followed/{ben}", None, (401, 403, 403, 403, 404, 401, 401)),
    ("POST /users", NEW_USER, (403, 403, 403, 403, 403, 401, 401)),
    ("GET /me", None, (401, 200, 200, 200, 200, 401, 401)),
    ("PUT /me/password", WEAK, (401, 400, 400, 400, 400, 401, 401)),
    ("GET /me/tokens", None, (401, 200, 200, 200, 200, 401, 401)),
    ("DELETE /me/tokens/0123456789abcde", None, (401, 404, 404, 404, 404, 401, 401)),
    ("OPTIONS /tweets", None, (200, 200, 200, 200, 200, 401, 401)),
    ("POST /auth/login", CREDENTIALS, (200, 200, 200, 200, 200, 200, 200)),
    ("POST /auth/logout", {}, (401, 204, 204, 204, 204, 401, 401)),
    ("POST /auth/logoutall", {}, (401, 204, 204, 204, 204, 401, 401)),
]


@cache
def sign_in(site: Site) -> dict[str, str | None]:
    """Return the token for each name in WHO."""
    revoked = site.login("ben")
    assert site.client(revoked).post("/auth/logout").status_code == 204
    return {
        "anonymous": None,
        "owner": site.login("ben"),
        "other": site.login("alyssa"),
        "staff": site.login("staff"),
        "moderator": site.login("moderator"),
        "expired": site.expired_token,
        "revoked": revoked,
    }


@pytest.fixture
def tokens(site: Site) -> dict[str, str | None]:
    """The token for each name in WHO, kept from test to test as long as they are valid."""
    valid = ("owner", "other", "staff", "moderator")
    if any(site.client(sign_in(site)[who]).get("/me").status_code != 200 for who in valid):
        sign_in.cache_clear()
    return sign_in(site)


@pytest.mark.parametrize(("endpoint", "body", "expected"), MATRIX, ids=[m[0] for m in MATRIX])
def test_each_request_gets_the_status_code_of_the_matrix(
    site: Site,
    tokens: dict[str, str | None],
    endpoint: str,
    body: dict[str, str] | None,
    expected: tuple[int, ...],
) -> None:
    method, path = endpoint.split()
    found = []
    cy_id = site.client().get("/users?username=cy").json()[0]["id"]
    tweets = [site.client(tokens["owner"]).post("/tweets", json=HELLO).json() for _ in WHO]
    for who, tweet in zip(WHO, tweets, strict=True):
        names = {"ben": tweet["userId"], "tweet": tweet["id"], "cy": cy_id}
        sent = body and {name: value.format(**names) for name, value in body.items()}
        response = site.client(tokens[who]).request(method, path.format(**names), json=sent)
        assert response.status_code != 401 or response.headers["WWW-Authenticate"] == CHALLENGE
        found.append(response.status_code)
    assert dict(zip(WHO, found, strict=True)) == dict(zip(WHO, expected, strict=True))


def test_the_author_is_the_sender_unless_a_moderator_names_another(site: Site) -> None:
    for sender, author, expected in (("ben", None, "ben"), ("moderator", "alyssa", "alyssa")):
        body = dict(HELLO)
        if author:
            mine = site.client(site.login(author)).post("/tweets", json=HELLO).json()
            body["userId"] = mine["userId"]
        posted = site.client(site.login(sender)).post("/tweets", json=body)
        assert posted.json()["userName"] == expected


def test_a_token_of_an_inactive_account_gets_a_401(site: Site) -> None:
    token = site.login("eva")
    assert site.client(token).get("/tweets").status_code == 200
    site.run(SET_ACTIVE.format(active=False))
    try:
        assert site.client(token).get("/tweets").status_code == 401
    finally:
        site.run(SET_ACTIVE.format(active=True))


SET_ACTIVE = (
    "from users.models import User; User.objects.filter(username='eva').update(is_active={active})"
)


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["", "a b", "é", "0" * 64, "'OR 1=1", "0" * 4000, "\0", "\xff"])
def test_a_malformed_token_gets_a_401(api: APIClient, token: str) -> None:
    response = api.post("/auth/logout", headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 401
    assert list(response.json()) == ["detail"]


def test_tokens_are_hashed_at_rest(site: Site) -> None:
    token = site.login("ben")
    code = "print([vars(t) for t in AuthToken.objects.all()])"
    stored = site.run(code)
    assert "digest" in stored
    assert token not in stored
    assert token[16:] not in stored


def test_create_token_prints_a_valid_token(site: Site) -> None:
    token = site.manage("create_token", "ben", "--days", "1")
    assert site.client(token).get("/tweets").status_code == 200


def test_a_superuser_can_find_and_revoke_tokens_in_the_admin(site: Site) -> None:
    site.run("User.objects.create_superuser('root', password='password of root')")
    token = site.login("louis")
    louis_id = site.run("print(User.objects.get(username='louis').pk)")
    browser = site.client()
    page = browser.get("/admin/login/").text
    csrf = browser.cookies["csrftoken"]
    assert "password" in page
    answer = browser.post(
        f"/admin/login/?next=/admin/knox/authtoken/?user__id__exact={louis_id}",
        data={"username": "root", "password": "password of root", "csrfmiddlewaretoken": csrf},
    )
    listing = browser.get(answer.headers["location"]).text
    assert "louis" in listing
    digest = site.run(
        "print(AuthToken.objects.filter(user__username='louis').latest('created').pk)"
    )
    answer = browser.post(
        f"/admin/knox/authtoken/{digest}/delete/",
        data={"post": "yes", "csrfmiddlewaretoken": browser.cookies["csrftoken"]},
    )
    assert answer.status_code == 302
    assert site.client(token).get("/tweets").status_code == 401


@pytest.fixture
def eva_acts_for_ben(
    settings: Settings, ben: User, eva: User, cy: User
) -> Callable[[str], tuple[int, str]]:
    """Return a function that sends a request by eva about ben: its status code and detail."""
    settings.TWIT_OPEN_API = False
    settings.TWIT_LIMITS = dict.fromkeys(limits.DEFAULTS)
    _, token = issue(eva, timedelta(days=1))

    def send(action: str) -> tuple[int, str]:
        tweet = TweetFactory.create(author=ben)
        client = APIClient(headers={"authorization": f"Bearer {token}"})
        if action == "post":
            response = client.post("/tweets", {"userId": ben.pk, "message": "hi"}, format="json")
        elif action == "delete":
            response = client.delete(f"/tweets/{tweet.pk}")
        elif action == "follow":
            response = client.put(f"/users/{ben.pk}/followed/{cy.pk}")
        elif action == "unfollow":
            response = client.delete(f"/users/{ben.pk}/followed/{cy.pk}")
        else:
            response = client.get(f"/tweets/followed/{ben.pk}")
        return response.status_code, "" if response.status_code < 300 else response.json()["detail"]

    return send


ACTIONS = {
    "post": ("tweets.add_tweet", 201),
    "delete": ("tweets.delete_tweet", 204),
    "read": ("users.view_follow", 200),
    "follow": ("users.add_follow", 204),
    "unfollow": ("users.delete_follow", 204),
}


@pytest.mark.django_db
@pytest.mark.parametrize("granted", ["user", "group"])
@pytest.mark.parametrize("allowed", ACTIONS)
def test_each_way_to_act_for_another_needs_its_own_permission(
    eva_acts_for_ben: Callable[[str], tuple[int, str]], eva: User, allowed: str, granted: str
) -> None:
    codename = ACTIONS[allowed][0].partition(".")[2]
    permission = Permission.objects.get(codename=codename)
    if granted == "user":
        eva.user_permissions.add(permission)
    else:
        eva.groups.add(Group.objects.create(name="moderators"))
        eva.groups.get().permissions.add(permission)
    for action, (needed, success) in ACTIONS.items():
        status, detail = eva_acts_for_ben(action)
        assert status == (success if action == allowed else 403)
        assert action == allowed or f"users with the permission {needed}" in detail


@pytest.mark.django_db
@pytest.mark.parametrize("action", ACTIONS)
def test_staff_without_permissions_act_only_for_themselves(
    eva_acts_for_ben: Callable[[str], tuple[int, str]], eva: User, action: str
) -> None:
    User.objects.filter(pk=eva.pk).update(is_staff=True)
    assert eva_acts_for_ben(action)[0] == 403
    User.objects.filter(pk=eva.pk).update(is_superuser=True)
    assert eva_acts_for_ben(action)[0] == ACTIONS[action][1]


@pytest.mark.django_db
def test_the_log_says_who_acted_for_whom(
    eva_acts_for_ben: Callable[[str], tuple[int, str]],
    ben: User,
    eva: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def logged() -> list[str]:
        return [entry.getMessage() for entry in caplog.records if entry.name == "twit.access"]

    eva_acts_for_ben("post")
    assert not logged()
    User.objects.filter(pk=eva.pk).update(is_superuser=True)
    eva_acts_for_ben("post")
    assert logged() == [
        f"User {eva.pk} acts for user {ben.pk} (tweets.add_tweet): post as this user"
    ]


@pytest.mark.django_db
def test_reading_ones_own_timeline_looks_up_no_permissions(
    settings: Settings, eva: User, statements: Callable[[], int], one_look: None
) -> None:
    settings.TWIT_OPEN_API = False
    _, token = issue(eva, timedelta(days=1))
    client = APIClient(headers={"authorization": f"Bearer {token}"})
    client.get(f"/tweets/followed/{eva.pk}")  # builds the list
    statements()
    client.get(f"/tweets/followed/{eva.pk}")
    assert statements() == 1  # the page, which checks the token too
