"""Timelines reflect every change of tweets and follows, however it reaches the database."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tests.factories import FollowFactory, TweetFactory
from tests.psql import psql
from tests.timelines.lists import deliver_all, listed, page
from timelines.models import FanOut
from tweets.models import Tweet
from users import graph
from users.models import Follow, User

pytestmark = pytest.mark.django_db(transaction=True)

Way = Callable[[User, User, Path], None]


def create_by_api(author: User, _: User, folder: Path) -> None:
    APIClient().post("/tweets", {"userId": author.pk, "message": "hi"})


def create_by_admin(author: User, admin: User, folder: Path) -> None:
    client = Client()
    client.force_login(admin)
    client.post(reverse("admin:tweets_tweet_add"), {"author": author.pk, "message": "hi"})


def create_by_fixture(author: User, _: User, folder: Path) -> None:
    load(folder, "tweets.tweet", {"author": author.pk, "message": "hi"})


def create_by_bulk_create(author: User, _: User, folder: Path) -> None:
    Tweet.objects.bulk_create([Tweet(author=author, message="hi")])


def create_by_psql(author: User, _: User, folder: Path) -> None:
    psql(f"INSERT INTO tweets_tweet (author_id, message) VALUES ({author.pk}, 'hi')")


def load(folder: Path, model: str, fields: dict[str, object]) -> None:
    file = folder / "fixture.json"
    file.write_text(json.dumps([{"model": model, "pk": 4711, "fields": fields}]))
    call_command("loaddata", str(file), verbosity=0)


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("admin")


@pytest.mark.parametrize(
    "way",
    [create_by_api, create_by_admin, create_by_fixture, create_by_bulk_create, create_by_psql],
)
def test_a_tweet_is_pending_however_it_was_created(
    ben: User, alyssa: User, admin: User, tmp_path: Path, way: Way
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)
    way(alyssa, admin, tmp_path)
    tweet = Tweet.objects.get()
    assert list(FanOut.objects.values_list("kind", "tweet_id", "author_id")) == [
        ("deliver", tweet.pk, alyssa.pk)
    ]
    deliver_all()
    assert listed(ben.pk) == [tweet.pk]


def delete_by_api(tweet: Tweet) -> None:
    APIClient().delete(f"/tweets/{tweet.pk}")


def delete_by_queryset(tweet: Tweet) -> None:
    Tweet.objects.filter(pk=tweet.pk).delete()


def delete_by_psql(tweet: Tweet) -> None:
    psql(f"DELETE FROM tweets_tweet WHERE id = {tweet.pk}")


@pytest.mark.parametrize("way", [delete_by_api, delete_by_queryset, delete_by_psql])
def test_a_tweet_is_retracted_however_it_was_deleted(
    ben: User, alyssa: User, way: Callable[[Tweet], None]
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    tweet = TweetFactory.create(author=alyssa)
    deliver_all()
    page(ben)
    assert listed(ben.pk) == [tweet.pk]
    way(tweet)
    deliver_all()
    assert listed(ben.pk) == []


def test_a_change_of_author_moves_the_tweet_to_other_timelines(
    ben: User, alyssa: User, louis: User
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    FollowFactory.create(follower=louis, followed=ben)
    tweet = TweetFactory.create(author=alyssa)
    deliver_all()
    page(ben), page(louis)
    psql(f"UPDATE tweets_tweet SET author_id = {ben.pk}")
    deliver_all()
    assert (listed(ben.pk), listed(louis.pk)) == ([], [tweet.pk])


def test_an_edited_message_is_shown_at_once_without_a_fan_out(ben: User, alyssa: User) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    tweet = TweetFactory.create(author=alyssa)
    deliver_all()
    page(ben)
    tweet.message = "better"
    tweet.save()
    assert not FanOut.objects.exists()
    shown = APIClient().get(f"/tweets/followed/{ben.pk}").json()
    assert [tweet["message"] for tweet in shown] == ["better"]


def test_the_tweets_of_a_deleted_author_are_gone_on_the_next_read(
    ben: User, alyssa: User, louis: User
) -> None:
    for author in (alyssa, louis):
        FollowFactory.create(follower=ben, followed=author)
    TweetFactory.create_batch(3, author=alyssa)
    kept = TweetFactory.create(author=louis)
    deliver_all()
    page(ben)
    alyssa.delete()
    assert page(ben) == [kept.pk]
    deliver_all()
    assert listed(ben.pk) == [kept.pk]


def follow_by_admin(ben: User, alyssa: User, admin: User, folder: Path) -> None:
    client = Client()
    client.force_login(admin)
    body = {"follower": ben.pk, "followed": alyssa.pk}
    client.post(reverse("admin:users_follow_add"), body)


def follow_by_fixture(ben: User, alyssa: User, admin: User, folder: Path) -> None:
    load(folder, "users.follow", {"follower": ben.pk, "followed": alyssa.pk})


def follow_by_bulk_create(ben: User, alyssa: User, admin: User, folder: Path) -> None:
    Follow.objects.bulk_create([Follow(follower=ben, followed=alyssa)])


def follow_by_import(ben: User, alyssa: User, admin: User, folder: Path) -> None:
    graph.load([graph.Edge(ben.pk, alyssa.pk)])


def follow_by_psql(ben: User, alyssa: User, admin: User, folder: Path) -> None:
    psql(f"INSERT INTO users_follow (follower_id, followed_id) VALUES ({ben.pk}, {alyssa.pk})")


def follow_by_update(ben: User, alyssa: User, admin: User, folder: Path) -> None:
    Follow.objects.create(follower=admin, followed=alyssa)
    psql(f"UPDATE users_follow SET follower_id = {ben.pk} WHERE follower_id = {admin.pk}")


@pytest.mark.parametrize(
    "way",
    [
        follow_by_admin,
        follow_by_fixture,
        follow_by_bulk_create,
        follow_by_import,
        follow_by_psql,
        follow_by_update,
    ],
)
def test_the_next_read_reflects_a_follow_however_it_was_created(
    ben: User,
    alyssa: User,
    admin: User,
    tmp_path: Path,
    way: Callable[[User, User, User, Path], None],
) -> None:
    tweet = TweetFactory.create(author=alyssa)
    deliver_all()
    assert page(ben) == []
    way(ben, alyssa, admin, tmp_path)
    assert page(ben) == [tweet.pk]


def unfollow_by_admin(follow: Follow, admin: User) -> None:
    client = Client()
    client.force_login(admin)
    client.post(reverse("admin:users_follow_delete", args=[follow.pk]), {"post": "yes"})


def unfollow_by_queryset(follow: Follow, admin: User) -> None:
    Follow.objects.filter(pk=follow.pk).delete()


def unfollow_by_psql(follow: Follow, admin: User) -> None:
    psql(f"DELETE FROM users_follow WHERE id = {follow.pk}")


def unfollow_by_update(follow: Follow, admin: User) -> None:
    psql(f"UPDATE users_follow SET follower_id = {admin.pk} WHERE id = {follow.pk}")


def unfollow_by_deleting_the_user(follow: Follow, admin: User) -> None:
    follow.followed.delete()


@pytest.mark.parametrize(
    "way",
    [
        unfollow_by_admin,
        unfollow_by_queryset,
        unfollow_by_psql,
        unfollow_by_update,
        unfollow_by_deleting_the_user,
    ],
)
def test_the_next_read_reflects_an_unfollow_however_it_was_made(
    ben: User, alyssa: User, louis: User, admin: User, way: Callable[[Follow, User], None]
) -> None:
    follow = FollowFactory.create(follower=ben, followed=alyssa)
    FollowFactory.create(follower=ben, followed=louis)
    TweetFactory.create(author=alyssa)
    kept = TweetFactory.create(author=louis)
    deliver_all()
    assert len(page(ben)) == 2
    way(follow, admin)
    assert page(ben) == [kept.pk]
    assert listed(ben.pk) == [kept.pk]


def test_a_stale_save_does_not_restore_an_old_version(ben: User, alyssa: User) -> None:
    stale = User.objects.get(pk=ben.pk)
    FollowFactory.create(follower=ben, followed=alyssa)
    version = User.objects.get(pk=ben.pk).follows_version
    assert version > stale.follows_version
    stale.save()
    assert User.objects.get(pk=ben.pk).follows_version == version


def test_a_bulk_load_costs_one_update_per_follower(ben: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # of updates by earlier tests
    with transaction.atomic(), connection.cursor() as cursor:
        graph.load(graph.Edge(ben.pk, ben.pk + number) for number in range(1, 50))
        cursor.execute(
            "SELECT n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'users_user'"
        )
        assert cursor.fetchone() == (1,)


def test_a_version_from_a_dump_is_ignored(ben: User, alyssa: User, tmp_path: Path) -> None:
    """A dump has versions. One from a clock that was ahead must not hide later follows."""
    future = 2**62
    fields = {"username": "eva", "password": "!", "follows_version": future}
    load(tmp_path, "users.user", fields)
    User.objects.filter(pk=ben.pk).update(follows_version=future)
    tweet = TweetFactory.create(author=alyssa)
    deliver_all()
    for reader in (ben, User.objects.get(username="eva")):
        assert page(reader) == []
        FollowFactory.create(follower=reader, followed=alyssa)
        assert page(reader) == [tweet.pk]
