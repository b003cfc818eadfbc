"""The admin with 100,000 users, follows and tweets."""

import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories import TweetFactory
from tweets.models import Tweet
from users import graph
from users.models import Follow, User

pytestmark = pytest.mark.django_db

MANY = 100_000


@pytest.fixture
def many(db: None) -> None:
    edges = (graph.Edge(i, i % 100 + 1) for i in range(101, MANY + 1))
    graph.load(edges, users_up_to=MANY)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tweets_tweet (author_id, message) "
            "SELECT 1 + i %% 1000, 'message ' || i FROM generate_series(1, %s) AS i",
            [MANY],
        )
        cursor.execute("ANALYZE")


def test_pages_load_within_a_second_and_a_bounded_number_of_queries(
    many: None, admin_client: Client
) -> None:
    follow_id = Follow.objects.earliest("id").pk
    for path in (
        "users/user/",
        "users/user/?q=user4711",
        "users/user/5/change/",
        "users/follow/",
        "users/follow/?followed__id__exact=5",
        "users/follow/?q=user4711",
        f"users/follow/{follow_id}/change/",
        "users/follow/add/",
        "tweets/tweet/",
        "tweets/tweet/?q=4711",
        "tweets/tweet/?author__id__exact=5",
        f"tweets/tweet/{Tweet.objects.earliest('id').pk}/change/",
        "autocomplete/?app_label=users&model_name=follow&field_name=follower&term=user47",
    ):
        started = time.monotonic()
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(f"/admin/{path}")
        assert response.status_code == 200, path
        assert time.monotonic() - started < 1, path
        assert len(queries) <= 8, path
        assert len(response.content) < 200_000, path  # no <select> element with all users


def test_the_user_list_counts_follows_and_links_to_them(many: None, admin_client: Client) -> None:
    page = admin_client.get("/admin/users/user/?id=5").content.decode()
    assert '<a href="/admin/users/follow/?followed__id__exact=5">999</a>' in page
    assert '<a href="/admin/users/follow/?follower__id__exact=5">0</a>' in page


def test_a_tweet_can_be_found_by_its_words_and_its_author(admin_client: Client, ben: User) -> None:
    TweetFactory.create(author=ben, message="needle")
    TweetFactory.create(message="hay")
    for term in ("needle", "ben"):
        page = admin_client.get(f"/admin/tweets/tweet/?q={term}").content.decode()
        assert "needle" in page
        assert "hay" not in page


def test_the_admin_login_works(client: Client) -> None:
    User.objects.create_superuser("admin", password="a long one")
    assert client.login(username="admin", password="a long one")
    assert client.get("/admin/").status_code == 200
