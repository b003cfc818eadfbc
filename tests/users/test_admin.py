"""The admin with 100,000 users, follows and tweets."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from knox.models import AuthToken

from api.admin import LongList
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.psql import psql
from tweets.models import Tweet
from users import graph
from users.admin import counted
from users.models import Follow, User

pytestmark = pytest.mark.django_db

MANY = 100_000
SOME, SOME_COUNTED = 10_000, 1_000
LONG = "a-long-secret-7"


def load(users: int) -> None:
    """Store that many users, and nearly as many follows and tweets."""
    graph.load((graph.Edge(i, i % 100 + 1) for i in range(101, users + 1)), users_up_to=users)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tweets_tweet (author_id, message) "
            "SELECT 1 + i %% 1000, 'message ' || i FROM generate_series(1, %s) AS i",
            [users],
        )
        cursor.execute("ANALYZE users_user, users_follow, tweets_tweet")


@pytest.fixture
def many(db: None) -> None:
    load(MANY)


@pytest.fixture
def some(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load 10,000 of each, of which 1,000 are counted."""
    load(SOME)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # plans depend on it
    monkeypatch.setattr("api.admin.MOST_COUNTED", SOME_COUNTED)


def test_pages_load_within_a_second_and_a_bounded_number_of_queries(
    many: None, admin_client: Client
) -> None:
    follow_id = Follow.objects.earliest("id").pk
    for path in (
        "users/user/",
        "users/user/?q=user4711",
        "users/user/?p=1000",
        "users/user/5/change/",
        "users/follow/",
        "users/follow/?followed__id__exact=5",
        "users/follow/?q=user4711",
        "users/follow/?p=500",
        "users/follow/?p=999",
        f"users/follow/{follow_id}/change/",
        "users/follow/add/",
        "tweets/tweet/",
        "tweets/tweet/?q=4711",
        "tweets/tweet/?author__id__exact=5",
        f"tweets/tweet/{Tweet.objects.earliest('id').pk}/change/",
        "autocomplete/?app_label=users&model_name=follow&field_name=follower&term=user47",
    ):
        started = time.process_time()  # what Postgres reads is bounded below
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(f"/admin/{path}")
        assert response.status_code == 200, path
        assert time.process_time() - started < 1, path
        assert len(queries) <= 8, path
        assert len(response.content) < 200_000, path  # no <select> element with all users


def test_the_user_list_counts_follows_and_links_to_them(some: None, admin_client: Client) -> None:
    page = admin_client.get("/admin/users/user/?id=5").content.decode()
    assert '<a href="/admin/users/follow/?followed__id__exact=5">99</a>' in page
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


def rows_read(plan: dict[str, Any]) -> Iterator[float]:
    """Yield how many rows each node of the plan reads at a time: what it returns or drops."""
    yield plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    for part in plan.get("Plans", []):
        yield from rows_read(part)


def most_rows_read(admin: Client, path: str) -> float:
    """Return how many rows a node of a query of the page reads at most."""
    with CaptureQueriesContext(connection) as queries:
        assert admin.get(f"/admin/{path}").status_code == 200
    selects = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert selects
    most = 0.0
    with connection.cursor() as cursor:
        for way in ("seqscan", "hashjoin", "mergejoin"):  # which pay in small tables only
            cursor.execute(f"SET LOCAL enable_{way} = off")
        for sql in selects:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
            [[plan]] = cursor.fetchone() or []
            most = max(most, *rows_read(plan["Plan"]))
    return most


def test_no_page_reads_more_rows_than_are_counted(some: None, admin_client: Client) -> None:
    for path in (
        *("users/user/", "users/user/?o=1", "users/user/?q=user4711", "users/user/?p=100"),
        *("users/follow/", "users/follow/?p=98", "users/follow/?q=user4711"),
        *("users/follow/?followed__id__exact=5", "users/follow/?follower__id__exact=500"),
        *("tweets/tweet/", "tweets/tweet/?p=100", "tweets/tweet/?author__id__exact=5"),
    ):
        assert most_rows_read(admin_client, path) <= 2 * SOME_COUNTED, path


def test_the_last_page_has_the_last_rows(some: None, admin_client: Client) -> None:
    """The table has some rows more than Postgres's estimate."""
    pages = admin_client.get("/admin/users/user/").context["cl"].paginator.num_pages
    UserFactory.create_batch(30)
    page = admin_client.get(f"/admin/users/user/?p={pages}")
    assert [user.pk for user in page.context["cl"].result_list] == list(range(100, 0, -1))
    assert "estimate" in page.content.decode()


def test_a_filtered_list_says_that_it_ends_early(
    admin_client: Client, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.admin.MOST_COUNTED", 2)
    FollowFactory.create_batch(3, followed=ben)
    page = admin_client.get(f"/admin/users/follow/?followed__id__exact={ben.pk}")
    assert "The list ends after 2." in page.content.decode()


def test_the_biggest_accounts_can_be_listed_first(
    admin_client: Client, ben: User, alyssa: User, louis: User
) -> None:
    with connection.cursor() as cursor:  # what other tests rolled back takes space in the table
        cursor.execute("TRUNCATE users_follow")
    FollowFactory.create_batch(2, followed=alyssa)
    FollowFactory.create_batch(3, followed=ben)
    page = admin_client.get("/admin/users/user/?followers=most")
    assert list(page.context["cl"].result_list) == [ben, alyssa]


def test_a_count_says_how_good_it_is() -> None:
    assert counted(9_999, 12_000) == "9,999"
    assert counted(10_000, 12_000) == "about 12,000"
    assert counted(10_000) == "10,000 or more"


@pytest.mark.parametrize("path", ["users/follow/add/", "tweets/tweet/add/"])
def test_a_form_for_a_new_row_shows_no_default_of_the_database(
    admin_client: Client, path: str
) -> None:
    page = admin_client.get(f"/admin/{path}").content.decode()
    assert "DatabaseDefault" not in page
    assert "Created at" not in page


@pytest.fixture
def before_saving(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """before_saving(statement) runs it when the admin has read a row and is about to save it."""

    def arrange(statement: str) -> None:
        save = LongList.save_model

        def later(*args: Any) -> None:
            psql(statement)
            save(*args)

        monkeypatch.setattr(LongList, "save_model", later)

    return arrange


def test_saving_a_user_undoes_no_change_that_was_made_meanwhile(
    before_saving: Callable[[str], None], admin_client: Client, ben: User
) -> None:
    before_saving(f"UPDATE users_user SET password = 'new', is_staff = true WHERE id = {ben.pk}")
    body = {"username": "benjamin", "is_active": "on"}
    assert admin_client.post(f"/admin/users/user/{ben.pk}/change/", body).status_code == 302
    ben.refresh_from_db()
    assert (ben.username, ben.password, ben.is_staff) == ("benjamin", "new", True)


def test_saving_a_tweet_that_was_deleted_meanwhile_does_not_bring_it_back(
    before_saving: Callable[[str], None], admin_client: Client, ben: User
) -> None:
    tweet = TweetFactory.create(author=ben)
    before_saving("DELETE FROM tweets_tweet")
    body = {"author": ben.pk, "message": "changed"}
    assert admin_client.post(f"/admin/tweets/tweet/{tweet.pk}/change/", body).status_code == 404
    assert not Tweet.objects.exists()


def test_saving_a_token_that_was_revoked_meanwhile_does_not_bring_it_back(
    before_saving: Callable[[str], None], admin_client: Client, ben: User
) -> None:
    token, _ = AuthToken.objects.create(ben)
    before_saving("DELETE FROM knox_authtoken")
    body = {"expiry_0": "2099-01-01", "expiry_1": "00:00"}
    address = f"/admin/knox/authtoken/{token.pk}/change/"
    assert admin_client.post(address, body).status_code == 404
    assert not AuthToken.objects.exists()


@pytest.mark.parametrize("is_deleted", [True, False])
def test_setting_a_password_undoes_nothing_that_happens_meanwhile(
    admin_client: Client, ben: User, monkeypatch: pytest.MonkeyPatch, *, is_deleted: bool
) -> None:
    row = User.objects.filter(pk=ben.pk)
    set_password = User.set_password

    def slowly(user: User, password: str) -> None:
        assert row.delete() if is_deleted else row.update(is_active=False)
        set_password(user, password)

    monkeypatch.setattr(User, "set_password", slowly)
    body = {"password1": LONG, "password2": LONG, "usable_password": "true"}
    answer = admin_client.post(f"/admin/users/user/{ben.pk}/password/", body)
    assert answer.status_code == (404 if is_deleted else 302)
    left = row.first()
    if is_deleted:
        assert left is None
    else:
        assert left
        assert (left.is_active, left.check_password(LONG)) == (False, True)


def test_a_tokens_expiry_can_be_changed(admin_client: Client, ben: User) -> None:
    token, _ = AuthToken.objects.create(ben)
    body = {"expiry_0": "2099-01-01", "expiry_1": "00:00"}
    admin_client.post(f"/admin/knox/authtoken/{token.pk}/change/", body)
    expiry = AuthToken.objects.get().expiry
    assert expiry
    assert expiry.year == 2099


def test_deleting_a_user_counts_what_goes_with_it(admin_client: Client, ben: User) -> None:
    TweetFactory.create(author=ben)
    FollowFactory.create_batch(2, followed=ben)
    address = f"/admin/users/user/{ben.pk}/delete/"
    page = admin_client.get(address).content.decode()
    assert "Follows: 2" in page
    assert "Tweet: 1" in page
    assert f"follows {ben.pk}" not in page
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=ben.pk).exists()


def test_deleting_a_user_takes_the_permission_to_delete_what_goes_with_it(
    client: Client, ben: User
) -> None:
    staff = User.objects.create(username="staff", is_staff=True)
    wanted = ["delete_user", "view_user", "delete_tweet", "delete_authtoken"]
    staff.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(staff)
    FollowFactory.create(followed=ben)
    address = f"/admin/users/user/{ben.pk}/delete/"
    assert "<li>follow</li>" in client.get(address).content.decode()
    assert client.post(address, {"post": "yes"}).status_code == 403


def test_tokens_lead_to_their_users(admin_client: Client, ben: User) -> None:
    token, _ = AuthToken.objects.create(ben)
    link = f'<a href="/admin/users/user/{ben.pk}/change/">ben</a>'
    for term in ("", ben.pk, "ben", token.token_key):
        page = admin_client.get(f"/admin/knox/authtoken/?q={term}").content.decode()
        assert link in page
        assert token.token_key in page
    change = admin_client.get(f"/admin/knox/authtoken/{token.pk}/change/").content.decode()
    assert link in change


def test_the_admin_creates_a_token_and_shows_it_once(admin_client: Client, ben: User) -> None:
    body = {"user": ben.pk, "expiry_0": "2099-01-01", "expiry_1": "00:00"}
    page = admin_client.post("/admin/knox/authtoken/add/", body, follow=True)
    token = AuthToken.objects.get(user=ben)
    assert f"TOKEN {token.token_key}" in page.content.decode()
