"""The examples of errors in the OpenAPI document are what the operations really answer."""

from typing import Any

import jsonschema
import pytest
import yaml
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from api.paths import PROBES
from tests.factories import TweetFactory, UserFactory
from tests.stack import CHECKOUT

DOCUMENT = yaml.safe_load((CHECKOUT / "openapi.yml").read_text())
EXAMPLES = {  # by operation and status code
    (operation["operationId"], int(status)): response["content"]["application/json"]["example"]
    for path, operations in DOCUMENT["paths"].items()
    if path not in PROBES
    for operation in operations.values()
    for status, response in operation["responses"].items()
    if status >= "4"
}
HELLO = {"message": "hello"}
# Operation and status code, whether a user asks, and a request.
ANSWERS: list[tuple[str, int, bool, str, Any, dict[str, str]]] = [
    ("signIn", 400, False, "POST /auth/login", {"username": "ben"}, {}),
    ("signIn", 401, False, "POST /auth/login", {"username": "ben", "password": "wrong"}, {}),
    ("signOut", 401, False, "POST /auth/logout", {}, {}),
    ("listTweets", 400, False, "GET /tweets?limit=0", None, {}),
    ("listTweets", 401, False, "GET /tweets", None, {"authorization": "Bearer wrong"}),
    ("listTweets", 406, False, "GET /tweets", None, {"accept": "text/csv"}),
    ("postTweet", 400, True, "POST /tweets", {"message": " "}, {}),
    ("postTweet", 401, False, "POST /tweets", HELLO, {}),
    ("postTweet", 403, True, "POST /tweets", HELLO | {"userId": "3"}, {}),
    ("postTweet", 415, True, "POST /tweets", HELLO, {"content-type": "text/plain"}),
    ("postTweet", 422, True, "POST /tweets", HELLO, {"idempotency-key": "used"}),
    ("getTweet", 404, False, "GET /tweets/17", None, {}),
    ("getDelivery", 404, False, "GET /tweets/17/delivery", None, {}),
    ("deleteTweet", 403, True, "DELETE /tweets/17", None, {}),
    ("deleteTweet", 404, True, "DELETE /tweets/17", None, {}),
    ("homeTimeline", 401, False, "GET /tweets/followed/3", None, {}),
    ("homeTimeline", 403, True, "GET /tweets/followed/3", None, {}),
    ("userTimeline", 404, False, "GET /tweets/user/3", None, {}),
]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=[f"{n}-{s}" for n, s in EXAMPLES])
def test_an_example_has_the_documented_shape(example: dict[str, Any]) -> None:
    jsonschema.validate(example, DOCUMENT["components"]["schemas"]["Error"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operation", "status", "is_user", "target", "body", "headers"),
    ANSWERS,
    ids=[f"{row[0]}-{row[1]}" for row in ANSWERS],
)
def test_an_example_is_the_real_answer(
    settings: Settings,
    api: APIClient,
    operation: str,
    status: int,
    is_user: bool,
    target: str,
    body: Any,
    headers: dict[str, str],
) -> None:
    settings.TWIT_OPEN_API = False
    if is_user:
        api.force_login(UserFactory.create(pk=2, username="ben"))
        with connection.cursor() as cursor:  # the first tweet must not be the one of the examples
            cursor.execute(
                "SELECT setval('tweets_tweet_id_seq', greatest(17, nextval('tweets_tweet_id_seq')))"
            )
        first = {"message": "first"}
        api.post("/tweets", first, format="json", headers={"idempotency-key": "used"})
    if status == 403:
        TweetFactory.create(pk=17, author=UserFactory.create(pk=3, username="louis"))
    method, path = target.split()
    answer = getattr(api, method.lower())(path, body, format="json", headers=headers)
    assert (answer.status_code, answer.json()) == (status, EXAMPLES[operation, status])


@pytest.mark.django_db
def test_the_example_of_a_page_of_another_site_is_the_real_answer(api: APIClient) -> None:
    answer = api.post("/auth/logout", headers={"origin": "http://evil.example"})
    assert (answer.status_code, answer.json()) == (403, EXAMPLES["signOut", 403])
