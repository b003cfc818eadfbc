"""Long fan-outs, which are split into ranges of followers."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from django.db import transaction

from api.fields import MAX_ID
from backends.postgres import binary_cursor
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.timelines.lists import (
    all_pages,
    apply,
    deliver_all,
    generation,
    listed,
    materialise,
    query,
)
from tests.timelines.machine import Worker, small_ranges
from tests.valkey import client
from timelines.delivery import claims, ranges, rounds, tasks
from timelines.delivery.rounds import run_round
from timelines.lists.store import list_key
from timelines.models import FanOut
from timelines.reading.rebuild import rebuild
from timelines.verify import verify
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_ranges() -> Iterator[None]:
    with small_ranges():
        yield


@pytest.fixture
def readers(ben: User) -> list[User]:
    """Twelve followers of ben, each with an empty list that is believed."""
    followers = UserFactory.create_batch(12)
    for reader in followers:
        FollowFactory.create(follower=reader, followed=ben)
        version = User.objects.get(pk=reader.pk).follows_version
        materialise(reader.pk, version=version, generation=generation())
    return followers


@pytest.fixture
def worker(db: None) -> Iterator[Worker]:
    started = Worker()
    yield started
    started.die()
    started.connection.close()


def elements(readers: list[User]) -> list[int]:
    """Return how many tweets each reader's list holds."""
    return [len(listed(reader.pk) or []) for reader in readers]


def load_again(tweet_id: int, author: User) -> None:
    """Insert a tweet under an id that was used before."""
    Tweet.objects.bulk_create([Tweet(pk=tweet_id, author=author, message="again")])


def test_what_is_left_after_the_first_round_is_split(ben: User, readers: list[User]) -> None:
    tweet = TweetFactory.create(author=ben)
    [before] = FanOut.objects.values("kind", "author_id", "turn", "created_at")
    assert run_round(followers=2).leaves_ranges
    parts = FanOut.objects.filter(tweet_id=tweet.pk).order_by("after_follower_id")
    assert len(parts) > 2
    for part in parts.values(*before):
        assert part == before
    assert parts[0].after_follower_id == readers[1].pk
    bounds = [(part.after_follower_id, part.up_to_follower_id) for part in parts]
    assert [after for after, _ in bounds[1:]] == [up_to for _, up_to in bounds[:-1]]
    assert bounds[-1][1] == readers[-1].pk


def test_every_follower_is_served_once(ben: User, readers: list[User]) -> None:
    TweetFactory.create(author=ben)
    reached = 0
    while (done := run_round(followers=4)).claimed:
        reached += done.reached
    assert reached == 12
    assert not FanOut.objects.exists()
    assert elements(readers) == [1] * 12


def test_no_range_of_evenly_spread_followers_is_longer_than_two_rounds() -> None:
    followers = list(range(1, claims.WHOLE_FOLLOWERS + 1))
    claimed = claims.Claim(1, "deliver", 1, 1, 0, MAX_ID, 0, 0, 0, len(followers), followers, 0.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranges, "FOLLOWERS_PER_RANGE", 2 * claims.RANGE_FOLLOWERS)
        bounds = ranges.Rest(claimed, 133_616, 1, 150_000).bounds()
    widths = [end - start for start, end in pairwise([followers[-1], *bounds])]
    assert max(widths) <= 2 * claims.RANGE_FOLLOWERS


def test_a_short_fan_out_is_not_split(ben: User, readers: list[User]) -> None:
    TweetFactory.create(author=ben)
    run_round(followers=9)
    assert FanOut.objects.get().after_follower_id == readers[8].pk
    assert run_round(followers=9).finished == 1


def test_workers_share_a_long_fan_out(ben: User, readers: list[User], worker: Worker) -> None:
    TweetFactory.create(author=ben)
    run_round(followers=2)
    worker.claim(rows=100, followers=100)
    assert len(worker.claims) == claims.RANGE_ROWS
    assert run_round().reached > 0
    worker.push()
    worker.finish()
    deliver_all()
    assert elements(readers) == [1] * 12


def test_ordinary_tweets_are_claimed_beside_the_ranges(
    ben: User, alyssa: User, readers: list[User]
) -> None:
    TweetFactory.create(author=ben)
    run_round(followers=2)
    TweetFactory.create_batch(3, author=alyssa)
    assert run_round(rows=2).claimed == claims.RANGE_ROWS + 2


def test_a_retraction_is_split_too(ben: User, readers: list[User]) -> None:
    tweet = TweetFactory.create(author=ben)
    deliver_all()
    tweet.delete()
    assert run_round(followers=8).reached == 2
    assert FanOut.objects.count() > 2
    deliver_all()
    assert elements(readers) == [0] * 12


def test_a_range_that_holds_most_followers_is_split_again(ben: User, readers: list[User]) -> None:
    """An id far above the others leaves them all in the first range."""
    far = UserFactory.create(pk=10**12)
    FollowFactory.create(follower=far, followed=ben)
    TweetFactory.create(author=ben)
    among_the_readers = FanOut.objects.filter(up_to_follower_id__lte=readers[-1].pk)
    run_round(followers=2)
    assert not among_the_readers.exists()
    while not among_the_readers.exists():
        assert run_round(followers=2).claimed
    assert among_the_readers.count() > 1
    deliver_all()
    assert elements(readers) == [1] * 12


def test_a_fan_out_with_enough_rows_is_not_split_further(
    ben: User, readers: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    TweetFactory.create(author=ben)
    run_round(followers=2)
    monkeypatch.setattr(ranges, "FEW_ROWS", 2)
    before = FanOut.objects.count()
    run_round(followers=4)
    assert FanOut.objects.count() <= before


def test_a_worker_that_dies_while_it_splits_loses_only_the_round(
    ben: User, readers: list[User], worker: Worker
) -> None:
    TweetFactory.create(author=ben)
    worker.claim(rows=1, followers=2)
    worker.push()
    assert worker.outcomes is not None
    rounds.finish(worker.cursor(), worker.claims, worker.outcomes)
    worker.die()
    assert FanOut.objects.get().after_follower_id == 0
    deliver_all()
    assert elements(readers) == [2, 2] + [1] * 10  # two were served twice


def test_a_range_that_fails_does_not_delay_the_others(
    ben: User, readers: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PAUSES_SECONDS", (600,))
    client().delete(list_key(readers[7].pk))
    client().set(list_key(readers[7].pk), "no list")
    tweet = TweetFactory.create(author=ben)
    while run_round(followers=2).claimed:
        pass
    [failing] = FanOut.objects.all()
    assert failing.attempts == 1
    assert failing.after_follower_id < readers[7].pk <= failing.up_to_follower_id
    tweet.delete()
    assert run_round().claimed == 0  # the retraction waits for the range
    materialise(readers[7].pk)
    FanOut.objects.update(next_attempt_at=failing.created_at)
    deliver_all()
    assert elements(readers) == [0] * 12


def test_a_long_fan_out_wakes_more_workers(ben: User, readers: list[User]) -> None:
    with small_ranges(whole_followers=2):
        TweetFactory.create(author=ben)
        client().delete("celery")
        tasks.fan_out()
    assert client().llen("celery") == 1


def test_a_short_fan_out_wakes_no_more_workers(ben: User, readers: list[User]) -> None:
    TweetFactory.create(author=ben)
    client().delete("celery")
    tasks.fan_out()
    assert client().llen("celery") == 0


# Orders that must be kept. Each history ends with the right lists only if order goes by turn.

History = Callable[[User, Worker], None]


def a_delivery_is_split_after_its_retraction_was_queued(ben: User, worker: Worker) -> None:
    """The retraction waits for every range of the delivery, though their rows are newer."""
    tweet = TweetFactory.create(author=ben)
    worker.claim(rows=1, followers=2)
    tweet.delete()
    worker.push()
    worker.finish()


def a_retraction_is_split_after_a_new_delivery_was_queued(ben: User, worker: Worker) -> None:
    """The new delivery waits for every range of the retraction, though their rows are newer."""
    tweet = TweetFactory.create(author=ben)
    deliver_all()
    tweet_id = tweet.pk
    tweet.delete()
    worker.claim(rows=1, followers=8)
    load_again(tweet_id, ben)
    worker.push()
    worker.finish()


def a_retraction_and_both_deliveries_are_split(ben: User, worker: Worker) -> None:
    """Three turns of one id."""
    tweet = TweetFactory.create(author=ben)
    tweet_id = tweet.pk
    worker.claim(rows=1, followers=2)
    tweet.delete()
    load_again(tweet_id, ben)
    worker.push()
    worker.finish()


HISTORIES: list[History] = [
    a_delivery_is_split_after_its_retraction_was_queued,
    a_retraction_is_split_after_a_new_delivery_was_queued,
    a_retraction_and_both_deliveries_are_split,
]


def are_right(ben: User, readers: list[User], worker: Worker, history: History) -> bool:
    """Return whether lists and pages are right once everything is delivered."""
    history(ben, worker)
    deliver_all()
    return all(
        listed(reader.pk) == query(reader) == all_pages(reader, limit=2) for reader in readers
    )


@pytest.mark.parametrize("history", HISTORIES)
def test_fan_outs_of_one_tweet_keep_their_order(
    ben: User, readers: list[User], worker: Worker, history: History
) -> None:
    assert are_right(ben, readers, worker, history)


@pytest.mark.parametrize("history", HISTORIES)
def test_order_by_row_id_is_not_enough(
    ben: User,
    readers: list[User],
    worker: Worker,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_row = claims.CLAIM.replace("earlier.turn < row.turn", "earlier.id < row.id")
    assert by_row != claims.CLAIM
    monkeypatch.setattr(claims, "CLAIM", by_row)
    assert not are_right(ben, readers, worker, history)


# A worker that was frozen for longer than it may hold its rows sends its commands when it thaws.


def freeze_in_a_round(worker: Worker) -> Callable[[], None]:
    """Have the worker claim rows, and lose them as a frozen worker does. Return how it thaws."""
    worker.claim(rows=10, followers=100)
    late = [claim.change for claim in worker.claims]
    worker.die()

    def thaw() -> None:
        apply(*late)

    return thaw


def test_a_late_delivery_is_harmless(ben: User, readers: list[User], worker: Worker) -> None:
    tweet = TweetFactory.create(author=ben)
    thaw = freeze_in_a_round(worker)
    deliver_all()
    thaw()
    assert all(all_pages(reader, limit=1) == [tweet.pk] for reader in readers)


def test_a_late_retraction_of_an_id_that_was_not_used_again_is_harmless(
    ben: User, readers: list[User], worker: Worker
) -> None:
    tweet = TweetFactory.create(author=ben)
    deliver_all()
    tweet.delete()
    thaw = freeze_in_a_round(worker)
    deliver_all()
    later = TweetFactory.create(author=ben)
    deliver_all()
    thaw()
    assert all(all_pages(reader, limit=1) == [later.pk] for reader in readers)


def test_a_late_retraction_of_an_id_that_was_used_again_is_found_by_verify(
    ben: User, readers: list[User], worker: Worker
) -> None:
    """docs/protocol.md says what to do when ids are used again by hand."""
    tweet = TweetFactory.create(author=ben)
    deliver_all()
    tweet_id = tweet.pk
    tweet.delete()
    thaw = freeze_in_a_round(worker)
    deliver_all()
    load_again(tweet_id, ben)
    deliver_all()
    thaw()
    reader = readers[0]
    assert all_pages(reader, limit=1) == []
    finding = verify(reader.pk)
    assert finding
    assert finding.is_wrong
    rebuild(reader.pk)
    assert all_pages(reader, limit=1) == [tweet_id]


def test_the_long_fan_outs_of_a_round_share_what_is_counted(ben: User) -> None:
    for reader in UserFactory.create_batch(12):
        FollowFactory.create(follower=reader, followed=ben)
    TweetFactory.create_batch(4, author=ben)
    with pytest.MonkeyPatch.context() as patched:  # undone before the fixture of small ranges is
        patched.setattr(ranges, "COUNTED_FOLLOWERS", 16)
        patched.setattr(ranges, "LONG_FOLLOWERS", 2)
        with transaction.atomic(), binary_cursor() as cursor:
            found = list(ranges.long_rests(cursor, claims.claim(cursor, 4, 8)))
    assert [rest.followers for rest in found] == [4] * 4  # of ten that are left
