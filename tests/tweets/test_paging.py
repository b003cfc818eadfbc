"""`limit`, `max_id`, `since_id` and `Link` on all three lists."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from api.cursors import Cursor
from tests.factories import TweetFactory
from tests.timelines.lists import deliver_all
from users.models import Follow, User

pytestmark = pytest.mark.django_db

LISTS = ["/tweets", "/tweets/user/{author}", "/tweets/followed/{reader}"]


@pytest.fixture
def paths(alyssa: User, ben: User, follow: Callable[[User, User], Follow]) -> Any:
    """paths(pattern) returns the path of a list. Every list holds the same tweets, by alyssa."""
    follow(ben, alyssa)
    return lambda pattern: pattern.format(author=alyssa.pk, reader=ben.pk)


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [int(tweet["id"]) for tweet in response.json()]


def links(response: Any) -> dict[str, str]:
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', response.get("Link", ""))
    return {relation: address for address, relation in found}


@pytest.mark.parametrize("pattern", LISTS)
def test_next_links_lead_to_every_tweet_once(
    api: APIClient, alyssa: User, paths: Any, pattern: str
) -> None:
    expected = [tweet.pk for tweet in TweetFactory.create_batch(7, author=alyssa)][::-1]
    seen: list[int] = []
    address: str | None = f"{paths(pattern)}?limit=3"
    sizes = []
    while address:
        response = api.get(address)
        sizes.append(len(ids(response)))
        seen += ids(response)
        address = links(response).get("next")
    assert seen == expected
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("pattern", LISTS)
def test_a_full_last_page_has_no_next_link(
    api: APIClient, alyssa: User, paths: Any, pattern: str
) -> None:
    TweetFactory.create_batch(3, author=alyssa)
    assert "next" not in links(api.get(f"{paths(pattern)}?limit=3"))


@pytest.mark.parametrize("pattern", LISTS)
def test_prev_links_lead_to_all_newer_tweets(
    api: APIClient, alyssa: User, paths: Any, pattern: str, one_look: None
) -> None:
    TweetFactory.create(author=alyssa)
    address = links(api.get(f"{paths(pattern)}?limit=2"))["prev"]
    newer = [TweetFactory.create(author=alyssa).pk for _ in range(5)]
    deliver_all()
    seen = []
    while found := ids(response := api.get(address)):
        seen.append(found)
        address = links(response)["prev"]
    assert seen == [newer[1::-1], newer[3:1:-1], newer[4:]]
    assert links(response)["prev"] == address


@pytest.mark.parametrize("pattern", LISTS)
def test_an_empty_list_has_a_prev_link(
    api: APIClient, alyssa: User, paths: Any, pattern: str
) -> None:
    response = api.get(paths(pattern))
    assert ids(response) == []
    tweet = TweetFactory.create(author=alyssa)
    deliver_all()
    assert ids(api.get(links(response)["prev"])) == [tweet.pk]


@pytest.mark.parametrize("pattern", LISTS)
def test_bounds_restrict_what_is_new(
    api: APIClient, alyssa: User, paths: Any, pattern: str
) -> None:
    tweets = [tweet.pk for tweet in TweetFactory.create_batch(6, author=alyssa)]
    asked = f"{paths(pattern)}?after={Cursor(tweets[0], (tweets[2],))}"
    response = api.get(f"{asked}&max_id={tweets[4]}")
    assert ids(response) == [tweets[3], tweets[1]]
    assert ids(api.get(links(response)["prev"])) == tweets[:3:-1]
    assert ids(api.get(f"{asked}&since_id={tweets[1]}&limit=1")) == [tweets[3]]


def test_other_texts_than_cursors_are_rejected(api: APIClient, db: None) -> None:
    response = api.get("/tweets?after=%C3%A4")
    assert response.status_code == 400
    assert "after" in response.json()["errors"]


@pytest.mark.parametrize("pattern", LISTS)
def test_bounds_are_exclusive(api: APIClient, alyssa: User, paths: Any, pattern: str) -> None:
    first, second, third = (tweet.pk for tweet in TweetFactory.create_batch(3, author=alyssa))
    assert ids(api.get(f"{paths(pattern)}?max_id={third}")) == [second, first]
    assert ids(api.get(f"{paths(pattern)}?since_id={first}")) == [third, second]
    assert ids(api.get(f"{paths(pattern)}?since_id={first}&max_id={third}")) == [second]


def test_a_page_has_20_tweets_by_default(api: APIClient, alyssa: User) -> None:
    TweetFactory.create_batch(21, author=alyssa)
    assert len(ids(api.get("/tweets"))) == 20
    assert len(ids(api.get("/tweets?limit=200"))) == 21


def test_a_page_that_is_not_modified_has_links_too(api: APIClient, alyssa: User) -> None:
    TweetFactory.create(author=alyssa)
    etag = api.get("/tweets")["ETag"]
    response = api.get("/tweets", headers={"if-none-match": etag})
    assert response.status_code == 304
    assert "prev" in links(response)
