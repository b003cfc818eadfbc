"""Who may do what on a server that requires tokens, over HTTP."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.site import Site

# No token; ben, who owns the timeline and the tweet; alyssa; staff; ben with two invalid tokens.
WHO = ("anonymous", "owner", "other", "staff", "expired", "revoked")
HELLO = {"message": "hello"}
CREDENTIALS = {"username": "ben", "password": "password of ben"}
MATRIX: list[tuple[str, Any, tuple[int, ...]]] = [
    ("GET /", None, (200, 200, 200, 200, 200, 200)),
    ("GET /schema", None, (200, 200, 200, 200, 200, 200)),
    ("GET /docs", None, (200, 200, 200, 200, 200, 200)),
    ("GET /tweets", None, (200, 200, 200, 200, 401, 401)),
    ("GET /tweets/{tweet}", None, (200, 200, 200, 200, 401, 401)),
    ("GET /tweets/user/{ben}", None, (200, 200, 200, 200, 401, 401)),
    ("GET /tweets/followed/{ben}", None, (401, 200, 403, 200, 401, 401)),
    ("GET /tweets/followed/999999", None, (401, 403, 403, 404, 401, 401)),
    ("POST /tweets", HELLO, (401, 201, 201, 201, 401, 401)),
    ("POST /tweets", HELLO | {"userId": "{ben}"}, (401, 201, 403, 201, 401, 401)),
    ("POST /tweets", HELLO | {"userId": "999999"}, (401, 403, 403, 400, 401, 401)),
    ("DELETE /tweets/{tweet}", None, (401, 204, 403, 204, 401, 401)),
    ("DELETE /tweets/999999", None, (401, 404, 404, 404, 401, 401)),
    ("OPTIONS /tweets", None, (200, 200, 200, 200, 401, 401)),
    ("POST /auth/login", CREDENTIALS, (200, 200, 200, 200, 200, 200)),
    ("POST /auth/logout", {}, (401, 204, 204, 204, 401, 401)),
    ("POST /auth/logoutall", {}, (401, 204, 204, 204, 401, 401)),
]


@pytest.fixture
def tokens(site: Site) -> dict[str, str | None]:
    """The token for each name in WHO."""
    revoked = site.login("ben")
    assert site.client(revoked).post("/auth/logout").status_code == 204
    return {
        "anonymous": None,
        "owner": site.login("ben"),
        "other": site.login("alyssa"),
        "staff": site.login("staff"),
        "expired": site.expired_token,
        "revoked": revoked,
    }


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
    for who in WHO:
        tweet = site.client(site.login("ben")).post("/tweets", json=HELLO).json()
        names = {"ben": tweet["userId"], "tweet": tweet["id"]}
        sent = body and {name: value.format(**names) for name, value in body.items()}
        response = site.client(tokens[who]).request(method, path.format(**names), json=sent)
        assert response.status_code != 401 or response.headers["WWW-Authenticate"] == "Token"
        found.append(response.status_code)
    assert dict(zip(WHO, found, strict=True)) == dict(zip(WHO, expected, strict=True))


def test_the_author_is_the_sender_unless_staff_name_another(site: Site) -> None:
    for sender, author, expected in (("ben", None, "ben"), ("staff", "alyssa", "alyssa")):
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
    response = api.post("/auth/logout", headers={"authorization": f"Token {token}"})
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


def test_staff_can_find_and_revoke_tokens_in_the_admin(site: Site) -> None:
    site.run("User.objects.filter(username='staff').update(is_superuser=True)")
    token = site.login("louis")
    browser = site.client()
    page = browser.get("/admin/login/").text
    csrf = browser.cookies["csrftoken"]
    assert "password" in page
    answer = browser.post(
        "/admin/login/?next=/admin/knox/authtoken/",
        data={"username": "staff", "password": "password of staff", "csrfmiddlewaretoken": csrf},
    )
    listing = browser.get(answer.headers["location"]).text
    assert "louis" in listing
    digest = site.run("print(AuthToken.objects.get(user__username='louis').digest)")
    answer = browser.post(
        f"/admin/knox/authtoken/{digest}/delete/",
        data={"post": "yes", "csrfmiddlewaretoken": browser.cookies["csrftoken"]},
    )
    assert answer.status_code == 302
    assert site.client(token).get("/tweets").status_code == 401
