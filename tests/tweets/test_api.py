"""The endpoints that need only Postgres, and what all endpoints have in common."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.factories import TweetFactory, UserFactory
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db


def ids(response: Any) -> list[int]:
    return [int(tweet["id"]) for tweet in response.json()]


def test_a_posted_tweet_is_returned_in_the_documented_format(api: APIClient, ben: User) -> None:
    response = api.post("/tweets", {"userId": str(ben.pk), "message": "hello"}, format="json")
    tweet = response.json()
    assert response.status_code == 201
    assert response["Location"].endswith(f"/tweets/{tweet['id']}")
    assert response["Content-Type"] == "application/json"
    assert list(tweet) == ["id", "userId", "userName", "message", "createdAt"]
    assert (tweet["userId"], tweet["userName"], tweet["message"]) == (str(ben.pk), "ben", "hello")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", tweet["createdAt"])
    assert api.get(f"/tweets/{tweet['id']}").json() == tweet


@pytest.mark.parametrize("form", ["json", "multipart"])
def test_post_accepts_json_and_forms(api: APIClient, ben: User, form: str) -> None:
    assert api.post("/tweets", {"userId": ben.pk, "message": "hi"}, format=form).status_code == 201


def test_post_accepts_urlencoded_forms(client: Client, ben: User) -> None:
    body = f"userId={ben.pk}&message=hi"
    response = client.post("/tweets", body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": "hi"}, "userId"),
        ({"userId": "999999", "message": "hi"}, "userId"),
        ({"userId": str(10**30), "message": "hi"}, "userId"),
        ({"userId": "ben", "message": "hi"}, "userId"),
        ({"userId": True, "message": "hi"}, "userId"),
        ({"userId": 1.5, "message": "hi"}, "userId"),
        ({"userId": None, "message": "hi"}, "userId"),
        ({"userId": ["BEN"], "message": "hi"}, "userId"),
        ({"userId": "BEN"}, "message"),
        ({"userId": "BEN", "message": ""}, "message"),
        ({"userId": "BEN", "message": "  \n "}, "message"),
        ({"userId": "BEN", "message": "x" * 281}, "message"),
        ({"userId": "BEN", "message": "nul \x00"}, "message"),
        ({"userId": "BEN", "message": "\ud800"}, "message"),
        ({"userId": "BEN", "message": {"a": 1}}, "message"),
        ({"userId": "BEN", "message": 1}, "message"),
        ({"userId": "BEN", "message": True}, "message"),
        ({"userId": "BEN", "message": ["hi"]}, "message"),
    ],
)
def test_a_bad_post_names_the_field_and_stores_nothing(
    api: APIClient, ben: User, body: dict[str, Any], field: str
) -> None:
    text = json.dumps(body).replace("BEN", str(ben.pk))
    response = api.post("/tweets", text, content_type="application/json")
    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]
    assert not Tweet.objects.exists()


def test_an_error_is_a_sentence_and_the_problems_of_each_field(api: APIClient) -> None:
    response = api.post("/tweets", {"userId": 0, "message": " "}, format="json")
    user_id = f"An id is a whole number from 1 to {2**63 - 1}, as a number or a string."
    message = "This field may not be blank."
    assert response.json() == {
        "detail": f"userId: {user_id} message: {message}",
        "errors": {"userId": [user_id], "message": [message]},
    }


def test_280_code_points_fit_whatever_their_size_in_bytes(api: APIClient, ben: User) -> None:
    message = "🌙" * 280
    response = api.post("/tweets", {"userId": ben.pk, "message": message}, format="json")
    assert response.json()["message"] == message


def test_malformed_json_gets_a_400(api: APIClient) -> None:
    response = api.post("/tweets", "{", content_type="application/json")
    assert response.status_code == 400
    assert "detail" in response.json()


def test_delete_returns_204_and_then_404(api: APIClient) -> None:
    tweet = TweetFactory.create()
    assert api.delete(f"/tweets/{tweet.pk}").status_code == 204
    for response in (api.delete(f"/tweets/{tweet.pk}"), api.get(f"/tweets/{tweet.pk}")):
        assert response.status_code == 404
        assert response.json() == {"detail": f"There is no tweet {tweet.pk}."}


@pytest.mark.parametrize("path", ["/tweets", "/tweets/user", "/tweets/followed"])
@pytest.mark.parametrize("unknown", [0, 999_999, 2**63, 10**30])
def test_unknown_ids_get_a_404_in_json(api: APIClient, path: str, unknown: int) -> None:
    response = api.get(f"{path}/{unknown}")
    assert response.status_code == 404
    assert str(unknown) in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/tweets/{}"),
        ("delete", "/tweets/{}"),
        ("get", "/tweets/user/{}"),
        ("get", "/tweets/followed/{}"),
    ],
)
@pytest.mark.parametrize("impossible", [0, 2**63, 10**19 - 1, 10**25])
def test_an_id_that_no_row_can_have_gets_a_404_without_a_statement(
    api: APIClient,
    statements: Callable[[], int],
    redis_round_trips: Callable[[], int],
    method: str,
    path: str,
    impossible: int,
) -> None:
    response = getattr(api, method)(path.format(impossible))
    assert response.status_code == 404
    assert str(impossible) in response.json()["detail"]
    assert (statements(), redis_round_trips()) == (0, 0)


def test_the_highest_id_can_be_used(api: APIClient) -> None:
    tweet = TweetFactory.create(pk=2**63 - 1, author=UserFactory.create(pk=2**63 - 1))
    assert api.get(f"/tweets/{tweet.pk}").json()["id"] == str(tweet.pk)
    assert api.get(f"/tweets/user/{tweet.author_id}").status_code == 200
    assert api.get(f"/tweets/followed/{tweet.author_id}").json() == []
    assert api.delete(f"/tweets/{tweet.pk}").status_code == 204


@pytest.mark.parametrize(
    "path", ["/tweet", "/tweets/", "/tweets/abc", "/tweets/user/ben", "/nowhere"]
)
def test_unknown_paths_get_a_404_in_json(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json() == {"detail": f"There is nothing at {path}."}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", "/tweets"),
        ("delete", "/tweets"),
        ("post", "/tweets/1"),
        ("patch", "/tweets/1"),
        ("post", "/tweets/user/1"),
        ("delete", "/tweets/followed/1"),
    ],
)
def test_other_methods_get_a_405_in_json(api: APIClient, method: str, path: str) -> None:
    response = getattr(api, method)(path)
    assert response.status_code == 405
    assert "detail" in response.json()


def test_a_user_timeline_holds_only_the_tweets_of_that_user(
    api: APIClient, ben: User, alyssa: User
) -> None:
    first, _, third = (TweetFactory.create(author=author) for author in (ben, alyssa, ben))
    assert ids(api.get(f"/tweets/user/{ben.pk}")) == [third.pk, first.pk]


def test_a_user_without_tweets_has_an_empty_timeline(api: APIClient, ben: User) -> None:
    response = api.get(f"/tweets/user/{ben.pk}")
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("max_id=-5", "max_id"),
        ("max_id=1e9", "max_id"),
        ("since_id=٣", "since_id"),
        (f"since_id={10**40}", "since_id"),
    ],
)
@pytest.mark.parametrize("path", ["/tweets", "/tweets/user/{}", "/tweets/followed/{}"])
def test_a_bad_paging_parameter_gets_a_400_that_names_it(
    api: APIClient, ben: User, path: str, query: str, field: str
) -> None:
    response = api.get(f"{path.format(ben.pk)}?{query}")
    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]


@pytest.mark.parametrize("path", ["/tweets", "/tweets/user/{}", "/tweets/followed/{}"])
def test_ids_beyond_64_bits_are_valid_bounds(api: APIClient, ben: User, path: str) -> None:
    assert api.get(f"{path.format(ben.pk)}?max_id={10**19}&since_id={10**19}").status_code == 200


@pytest.mark.parametrize("tweets", [1, 20])
@pytest.mark.parametrize(
    ("method", "path", "queries"),
    [
        ("get", "/tweets", 1),
        ("post", "/tweets", 1),
        ("get", "/tweets/{tweet}", 1),
        ("delete", "/tweets/{tweet}", 2),  # one reads the tweet, one deletes it
        ("get", "/tweets/user/{author}", 1),
        ("get", "/tweets/followed/{reader}", 1),
    ],
)
def test_an_endpoint_costs_a_fixed_number_of_queries(
    api: APIClient,
    ben: User,
    alyssa: User,
    follow: Callable[[User, User], Follow],
    statements: Callable[[], int],
    tweets: int,
    method: str,
    path: str,
    queries: int,
    one_look: None,
) -> None:
    follow(ben, alyssa)
    tweet = TweetFactory.create_batch(tweets, author=alyssa)[0]
    api.get("/tweets")
    api.get(f"/tweets/followed/{ben.pk}")  # materialises it
    address = path.format(tweet=tweet.pk, author=alyssa.pk, reader=ben.pk)
    body = {"userId": ben.pk, "message": "hi"} if method == "post" else None
    statements()
    assert getattr(api, method)(address, body).status_code < 300
    assert statements() == queries
