"""`follows_version`: no value recurs, and triggers that write it can't deadlock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection, transaction

from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.psql import connect, sessions_that_wait_for_a_lock
from tests.stack import wait_until
from tests.timelines.lists import deliver_all, page, query
from users.models import Follow, User

pytestmark = pytest.mark.django_db(transaction=True)


def version(user: User) -> int:
    return User.objects.get(pk=user.pk).follows_version


def test_a_user_loaded_again_under_the_same_id_gets_a_higher_version(
    ben: User, alyssa: User
) -> None:
    versions = [version(ben)]
    for _ in range(3):
        FollowFactory.create(follower=ben, followed=alyssa)
        versions.append(version(ben))
        User.objects.filter(pk=ben.pk).delete()
        UserFactory.create(pk=ben.pk, username="ben")
        versions.append(version(ben))
    assert versions == sorted(set(versions))


def test_a_user_loaded_again_is_not_shown_the_list_of_the_first(
    ben: User, alyssa: User, louis: User
) -> None:
    for author in (alyssa, louis):
        TweetFactory.create(author=author)
    deliver_all()
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)  # leaves a list, built from as many changes as the next follow makes
    User.objects.filter(pk=ben.pk).delete()
    UserFactory.create(pk=ben.pk, username="ben")
    FollowFactory.create(follower=ben, followed=louis)
    assert page(ben) == query(ben) != []


def test_a_clock_that_is_set_back_does_not_lower_a_version(ben: User, alyssa: User) -> None:
    future = 2**62
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE users_user DISABLE TRIGGER users_version_is_no_input")
        cursor.execute("UPDATE users_user SET follows_version = %s", [future])
        cursor.execute("ALTER TABLE users_user ENABLE TRIGGER users_version_is_no_input")
    follow = FollowFactory.create(follower=ben, followed=alyssa)
    assert version(ben) == future + 1
    follow.delete()
    assert version(ben) == future + 2


def test_two_changes_in_one_transaction_have_two_versions(ben: User, alyssa: User) -> None:
    versions = set()
    with transaction.atomic():
        for _ in range(3):
            FollowFactory.create(follower=ben, followed=alyssa).delete()
            versions.add(version(ben))
    assert len(versions) == 3


def follow_all(followers: list[User], followed: User) -> None:
    with connect() as other:
        other.execute(
            "INSERT INTO users_follow (follower_id, followed_id) SELECT unnest(%s::bigint[]), %s",
            [[user.pk for user in followers], followed.pk],
        )


def unfollow_all(followers: list[User], followed: User) -> None:
    with connect() as other:
        other.execute("DELETE FROM users_follow WHERE followed_id = %s", [followed.pk])


@pytest.mark.parametrize("change", [follow_all, unfollow_all])
def test_the_trigger_locks_followers_in_the_order_of_their_ids(
    ben: User, louis: User, eva: User, cy: User, change: Callable[[list[User], User], None]
) -> None:
    """So two loads can't each hold what the other one waits for."""
    followers = [ben, louis, eva]
    if change is unfollow_all:
        Follow.objects.bulk_create(Follow(follower=user, followed=cy) for user in followers)
    for user in (louis, eva, ben):  # ben's row is now the last one in the table
        user.first_name = user.username
        user.save()
    before = [version(user) for user in followers]
    lock = "SELECT FROM users_user WHERE id = %s FOR NO KEY UPDATE"
    with connect() as holder, connect() as probe, ThreadPoolExecutor(1) as threads:
        holder.execute(lock, [ben.pk])
        changed = threads.submit(change, followers[::-1], cy)
        wait_until(sessions_that_wait_for_a_lock)
        try:
            for user in (louis, eva):
                probe.execute(f"{lock} NOWAIT", [user.pk])
        except psycopg.errors.LockNotAvailable:
            pytest.fail("the trigger waits for ben and holds others already")
        finally:
            probe.rollback()
            holder.rollback()
        changed.result()
    assert all(old < version(user) for old, user in zip(before, followers, strict=True))
