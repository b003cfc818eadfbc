"""Hydration for many readers at once, what must be hidden from them, and new flags."""

import random
from collections.abc import Callable

import pytest
from django.db.models.functions import Now

from api.fields import MAX_ID
from backends.nodes import nodes
from tests.factories import FollowFactory, TweetFactory, UserFactory
from timelines.lists.listed import Source
from timelines.models import Flag
from timelines.reading.hydration import Asked, Hydrated, hydrate, hydrate_all, uncertified
from timelines.reading.new_flags import NewFlags
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db


def alone(asked: Asked) -> Hydrated | None:
    """Return what a page would get."""
    reader_id, ids, source, above, below = asked
    try:
        return hydrate(reader_id, ids, source, above=above, below=below)
    except User.DoesNotExist:
        return None


@pytest.mark.parametrize("seed", range(3))
def test_many_readers_get_what_each_of_them_would_get_alone(seed: int) -> None:
    rng = random.Random(seed)
    users = UserFactory.create_batch(6)
    for follower in users:
        for followed in rng.sample(users, 3):
            if follower != followed:
                FollowFactory.create(follower=follower, followed=followed)
    tweets = [TweetFactory.create(author=rng.choice(users)) for _ in range(30)]
    ids = [tweet.pk for tweet in tweets]
    for tweet in rng.sample(tweets, 8):
        done_at = rng.choice([None, Now()])
        Flag.objects.create(tweet_id=tweet.pk, author_id=tweet.author_id, done_at=done_at)
    for tweet in rng.sample(tweets, 4):
        tweet.delete()
    primary = nodes().look("")
    assert primary
    readers = [*(user.pk for user in users), MAX_ID]
    sources = [Source(0, primary.identity), Source(0, "another server"), Source(1, "")]
    asked = [
        Asked(
            rng.choice(readers),
            rng.sample([*ids, 0, MAX_ID], rng.randint(0, 12)),
            rng.choice(sources),
            above=rng.choice([0, *ids]),
            below=rng.choice([MAX_ID, *ids]),
        )
        for _ in range(60)
    ]
    found = hydrate_all(asked)
    assert found == [alone(each) for each in asked]
    assert any(each is None for each in found)
    assert sum(len(each.tweets) for each in found if each) > 20


def test_what_was_deleted_or_is_not_followed_must_not_be_shown(
    ben: User, louis: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa)
    kept, deleted = TweetFactory.create_batch(2, author=alyssa)
    Tweet.objects.filter(pk=deleted.pk).delete()
    shown = [(user.pk, tweet.pk) for user in (ben, louis) for tweet in (kept, deleted)]
    assert {*uncertified(shown)} == {*shown} - {(ben.pk, kept.pk)}


def test_followers_of_the_author_learn_of_a_new_flag_once(
    ben: User, louis: User, alyssa: User, eva: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa)
    follow(louis, eva)
    flags, readers = NewFlags(), [ben.pk, louis.pk, alyssa.pk]
    assert flags.look(readers) == []
    Flag.objects.create(tweet_id=1, author_id=alyssa.pk)
    assert flags.look(readers) == [ben.pk]
    assert flags.look(readers) == []
    Flag.objects.create(tweet_id=2, author_id=alyssa.pk)
    Flag.objects.create(tweet_id=3, author_id=eva.pk)
    assert sorted(flags.look(readers)) == [ben.pk, louis.pk]
    Flag.objects.all().delete()
    assert flags.look(readers) == []
    Flag.objects.create(tweet_id=2, author_id=alyssa.pk)
    assert flags.look([louis.pk]) == []
