"""Deliveries that take long are flagged, and pages show their tweets at once."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backends.valkey import Unavailable
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.psql import connect
from tests.timelines.lists import (
    all_pages,
    deliver_all,
    generation,
    listed,
    materialise,
    page,
    query,
)
from tests.timelines.machine import small_lists, small_ranges
from tests.valkey import client
from timelines.delivery import flags
from timelines.delivery.rounds import run_round
from timelines.lists import changes
from timelines.lists.store import list_key
from timelines.models import FanOut, Flag
from timelines.reading import hydration
from timelines.reading import page as paging
from timelines.verify import verify
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def readers(ben: User) -> list[User]:
    """Twelve followers of ben with lists that are believed."""
    followers = UserFactory.create_batch(12)
    for reader in followers:
        FollowFactory.create(follower=reader, followed=ben)
        page(reader)
    return followers


def flagged() -> list[int]:
    return list(Flag.objects.order_by("tweet_id").values_list("tweet_id", flat=True))


def age(seconds: float) -> None:
    """Make all pending fan-outs, and all flags that are done, older."""
    FanOut.objects.update(created_at=Now() - timedelta(seconds=seconds))
    Flag.objects.filter(done_at__isnull=False).update(done_at=Now() - timedelta(seconds=seconds))


def test_a_long_delivery_is_on_every_page_after_its_first_round_and_stays(
    ben: User, readers: list[User]
) -> None:
    tweet = TweetFactory.create(author=ben)
    with small_ranges():
        run_round(followers=2)
        assert [len(listed(reader.pk) or []) for reader in readers] == [1, 1] + [0] * 10
        assert flagged() == [tweet.pk]
        for _ in range(20):
            assert all(page(reader) == [tweet.pk] for reader in readers)
            run_round(followers=4)
            flags.sweep()
    assert not FanOut.objects.exists()
    age(6)
    flags.sweep()
    assert flagged() == []
    assert all(page(reader) == [tweet.pk] for reader in readers)


def test_a_short_delivery_is_not_flagged(ben: User, readers: list[User]) -> None:
    TweetFactory.create(author=ben)
    run_round(followers=9)
    flags.sweep()
    assert flagged() == []


def test_a_long_retraction_is_not_flagged(ben: User, readers: list[User]) -> None:
    tweet = TweetFactory.create(author=ben)
    deliver_all()
    tweet.delete()
    with small_ranges():
        run_round(followers=8)
    assert FanOut.objects.count() > 1
    assert flagged() == []


def test_the_deliveries_of_a_round_that_failed_are_flagged(
    ben: User, readers: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    tweet = TweetFactory.create(author=ben)

    def fail(*args: object) -> None:
        raise Unavailable("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(changes, "apply", fail)
        with pytest.raises(Unavailable):
            run_round()
    assert FanOut.objects.get().attempts == 0
    assert flagged() == [tweet.pk]
    assert page(readers[0]) == [tweet.pk]


def test_a_delivery_that_fails_alone_is_flagged_until_it_succeeds(
    ben: User, readers: list[User]
) -> None:
    broken, other = readers[:2]
    client().delete(list_key(broken.pk))
    client().set(list_key(broken.pk), "no list")
    tweet = TweetFactory.create(author=ben)
    assert run_round().failed == 1
    assert page(other) == [tweet.pk]
    flags.sweep()
    assert Flag.objects.get().done_at is None
    materialise(broken.pk)
    FanOut.objects.update(next_attempt_at=Now())
    deliver_all()
    flags.sweep()
    assert Flag.objects.get().done_at is not None


def test_a_sweep_flags_deliveries_that_are_late(ben: User, readers: list[User]) -> None:
    tweet = TweetFactory.create(author=ben)
    age(0.5)
    flags.sweep()
    assert flagged() == []
    age(1.5)
    flags.sweep()
    assert flagged() == [tweet.pk]


def test_a_late_range_is_flagged_too(ben: User, readers: list[User]) -> None:
    tweet = TweetFactory.create(author=ben)
    with small_ranges():
        run_round(followers=2)
    Flag.objects.all().delete()
    age(1.5)
    flags.sweep()
    assert flagged() == [tweet.pk]


def test_the_number_of_flags_is_limited(ben: User) -> None:
    Tweet.objects.bulk_create(Tweet(author=ben, message="hi") for _ in range(Flag.MOST + 5))
    age(2)
    for _ in range(6):
        flags.sweep()
    assert len(flagged()) == Flag.MOST - Flag.MOST_RESERVED


def test_a_long_delivery_is_flagged_though_many_others_are_late(
    ben: User, readers: list[User]
) -> None:
    Flag.objects.bulk_create(Flag(tweet_id=-n, author_id=1) for n in range(Flag.MOST - 1))
    tweets = TweetFactory.create_batch(3, author=ben)
    with small_ranges():
        run_round(rows=1, followers=2)
    assert flagged()[-1] == tweets[0].pk
    assert len(flagged()) == Flag.MOST
    with small_ranges():
        run_round(rows=1, followers=2)
    assert len(flagged()) == Flag.MOST


def test_a_flag_follows_a_change_of_the_author(
    ben: User, alyssa: User, readers: list[User]
) -> None:
    tweet = TweetFactory.create(author=ben)
    age(2)
    flags.sweep()
    reader = FollowFactory.create(followed=alyssa).follower
    assert page(reader) == []
    tweet.author = alyssa
    tweet.save()
    assert page(reader) == []
    age(2)
    flags.sweep()
    assert page(reader) == [tweet.pk]
    assert page(readers[0]) == []


def test_late_deliveries_behind_many_retractions_are_flagged(
    ben: User, readers: list[User]
) -> None:
    FanOut.objects.bulk_create(
        FanOut(kind="retract", tweet_id=-n, author_id=ben.pk) for n in range(2_000)
    )
    tweet = TweetFactory.create(author=ben)
    age(2)
    flags.sweep()
    assert flagged() == [tweet.pk]


def test_a_flag_that_is_done_in_the_future_is_cleared(ben: User) -> None:
    """Postgres's clock was set back."""
    tweet = TweetFactory.create(author=ben)
    deliver_all()
    Flag.objects.create(tweet_id=tweet.pk, author_id=ben.pk, done_at=Now() + timedelta(hours=1))
    flags.sweep()
    assert flagged() == []


def test_a_sweep_does_not_wait_for_flags_that_a_frozen_worker_holds(ben: User) -> None:
    tweets = TweetFactory.create_batch(2, author=ben)
    deliver_all()
    Flag.objects.bulk_create(Flag(tweet_id=tweet.pk, author_id=ben.pk) for tweet in tweets)
    with connect() as frozen:
        frozen.execute(
            "UPDATE timelines_flag SET done_at = now() WHERE tweet_id = %s", [tweets[0].pk]
        )
        flags.sweep()
        done = Flag.objects.exclude(done_at=None).values_list("tweet_id", flat=True)
        assert list(done) == [tweets[1].pk]


def test_a_sweep_takes_down_the_flags_of_tweets_that_are_done_or_deleted(
    ben: User, readers: list[User]
) -> None:
    done, deleted = TweetFactory.create_batch(2, author=ben)
    age(2)
    flags.sweep()
    deleted.delete()
    flags.sweep()
    assert flagged() == [done.pk]
    deliver_all()
    age(6)
    flags.sweep()
    assert flagged() == [done.pk]  # seen to be done only now
    age(6)
    flags.sweep()
    assert flagged() == []


def test_the_flag_of_an_id_that_is_used_again_goes_up_again(ben: User, readers: list[User]) -> None:
    tweet = TweetFactory.create(author=ben)
    Flag.objects.create(tweet_id=tweet.pk, author_id=1, done_at=Now())
    age(2)
    flags.sweep()
    assert Flag.objects.values_list("author_id", "done_at").get() == (ben.pk, None)


def test_a_flag_shows_nothing_to_those_who_do_not_follow(
    ben: User, alyssa: User, readers: list[User]
) -> None:
    reader, gone = readers[:2]
    FollowFactory.create(follower=reader, followed=alyssa)
    page(reader)
    tweets = [TweetFactory.create(author=author) for author in (ben, alyssa)]
    age(2)
    flags.sweep()
    assert page(reader) == [tweets[1].pk, tweets[0].pk]
    assert page(readers[2]) == [tweets[0].pk]
    gone.follows.all().delete()
    assert page(gone) == []
    tweets[0].delete()
    assert page(reader) == [tweets[1].pk]


def test_a_flag_holds_up_neither_a_retraction_nor_verify(ben: User, readers: list[User]) -> None:
    tweet = TweetFactory.create(author=ben)
    age(2)
    flags.sweep()
    finding = verify(readers[0].pk)
    assert finding
    assert not finding.missing  # pending
    deliver_all()
    flags.sweep()
    client().delete(list_key(readers[0].pk))
    version = User.objects.get(pk=readers[0].pk).follows_version
    materialise(readers[0].pk, version=version, generation=generation())
    finding = verify(readers[0].pk)
    assert finding
    assert finding.is_wrong  # delivered, though its flag is still there
    tweet.delete()
    assert run_round().finished == 1
    assert not FanOut.objects.exists()


@given(
    pending=st.sets(st.integers(0, 13)),
    deleted=st.sets(st.integers(0, 13)),
    cap=st.sampled_from([4, 8, 50]),
    limit=st.integers(1, 6),
    refill=st.integers(1, 3),
)
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_flagged_tweets_have_their_place_in_pages_of_any_size(
    transactional_db: None, pending: set[int], deleted: set[int], cap: int, limit: int, refill: int
) -> None:
    FanOut.objects.all().delete()
    Flag.objects.all().delete()
    ben, alyssa = UserFactory.create_batch(2)
    FollowFactory.create(follower=ben, followed=alyssa)
    with small_lists(cap=cap, spacing=2), pytest.MonkeyPatch.context() as patched:
        patched.setattr(paging, "REFILL", refill)
        page(ben)
        tweets = TweetFactory.create_batch(14, author=alyssa)
        late = FanOut.objects.filter(tweet_id__in=[tweets[n].pk for n in pending])
        late.update(created_at=Now() - timedelta(seconds=2), next_attempt_at=Now() + timedelta(1))
        while run_round().claimed:
            pass
        flags.sweep()
        for n in deleted:
            Tweet.objects.filter(pk=tweets[n].pk).delete()
        assert all_pages(ben, limit) == query(ben)
        expected = query(ben)
        for since, until in ((2, 9), (5, 12)):
            window = {"since_id": tweets[since].pk, "max_id": tweets[until].pk}
            within = [i for i in expected if tweets[since].pk < i < tweets[until].pk]
            assert page(ben, limit=limit, **window) == within[:limit]


# A page that is made of a list that was read before the delivery reached it.


def a_delivery_ends_between_list_and_hydration(
    reader: User, monkeypatch: pytest.MonkeyPatch, *, seconds: float
) -> list[int]:
    """Return a page. Between its two reads, `seconds` pass and the delivery is done and swept."""
    hydrate, now = hydration.hydrate, time.monotonic
    late = [seconds]

    def much_later(*args: object, **kwargs: object) -> object:
        if late:
            deliver_all()
            flags.sweep()
            age(late[0])
            flags.sweep()
            skipped = late.pop()
            monkeypatch.setattr(time, "monotonic", lambda: now() + skipped)
        return hydrate(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(paging, "hydrate", much_later)
    return page(reader)


@pytest.fixture
def shown(ben: User, readers: list[User]) -> Tweet:
    """A tweet that is flagged and therefore on the readers' pages."""
    tweet = TweetFactory.create(author=ben)
    age(2)
    flags.sweep()
    assert page(readers[0]) == [tweet.pk]
    return tweet


Patch = Callable[[pytest.MonkeyPatch], None]


def without_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag counts only until its delivery is done."""
    flagged = hydration.HYDRATE.replace("OR done_at > statement_timestamp()", "AND now()")
    broken = flagged.replace(" - interval '5 seconds'", " IS NOT NULL")
    assert broken != hydration.HYDRATE
    monkeypatch.setattr(hydration, "HYDRATE", broken)


def without_reading_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may be made of a list that was read long ago."""
    monkeypatch.setattr(paging, "LIST_SECONDS", 3600)


@pytest.mark.parametrize("seconds", [0.1, 3.5, 6.0, 60.0])
def test_a_tweet_that_was_shown_is_not_lost_while_its_delivery_ends(
    readers: list[User], shown: Tweet, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    found = a_delivery_ends_between_list_and_hydration(readers[0], monkeypatch, seconds=seconds)
    assert found == [shown.pk]


@pytest.mark.parametrize(
    ("guard", "seconds"), [(without_lingering, 0.1), (without_reading_again, 6.0)]
)
def test_without_its_guard_that_tweet_is_lost(
    readers: list[User], shown: Tweet, monkeypatch: pytest.MonkeyPatch, guard: Patch, seconds: float
) -> None:
    guard(monkeypatch)
    found = a_delivery_ends_between_list_and_hydration(readers[0], monkeypatch, seconds=seconds)
    assert found == []
