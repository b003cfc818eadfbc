"""Explanations give the right reason, and change nothing."""

import io
import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.urls import reverse

from api.fields import MAX_ID
from backends import servers
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.timelines.lists import deliver_all, page, push
from tests.timelines.machine import small_ranges
from tests.valkey import client as valkey
from timelines.delivery import admitting
from timelines.delivery.rounds import run_round
from timelines.explaining import facts
from timelines.explaining.explanation import explain
from timelines.explaining.reasons import Reason, Verdict, verdict
from timelines.lists import store, upkeep
from timelines.lists.entries import Entry
from timelines.lists.listed import Doubt
from timelines.lists.store import list_key, state_key
from timelines.models import Admission, FanOut
from tweets.models import Tweet
from twit.local.net import LOOPBACK, free_port
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ben(ben: User, alyssa: User) -> User:
    """Ben, who follows alyssa and has a list."""
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)
    return ben


def post(author: User, count: int = 1) -> Tweet:
    """Store and deliver tweets. Return the last one."""
    *_, tweet = TweetFactory.create_batch(count, author=author)
    deliver_all()
    return tweet


def found(reader: User, tweet_id: int) -> Verdict:
    tweet = facts.of_tweets(reader, [tweet_id])[tweet_id]
    listed = facts.of_list(reader)
    return verdict(listed, tweet, listed.pages_down_to(tweet_id))


def answer(reader: User, tweet: Tweet) -> str:
    return explain(reader.pk, tweet.pk).answer


def about(reader: User, tweet: Tweet | None = None) -> dict[str, str]:
    """Return the facts by their names."""
    explained = explain(reader.pk, tweet.pk if tweet else None)
    return dict([*explained.listed, *explained.tweet])


def test_a_tweet_by_somebody_who_is_not_followed(ben: User, louis: User) -> None:
    tweet = post(louis)
    assert found(ben, tweet.pk) == (Reason.NOT_FOLLOWED, False, None)
    assert answer(ben, tweet) == "Not shown: ben does not follow louis."


def test_a_tweet_by_somebody_who_was_unfollowed_since(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    ben.follows.all().delete()
    assert found(ben, tweet.pk) == (Reason.UNFOLLOWED, False, None)
    [entry] = explain(ben.pk).entries
    assert entry.text.startswith("Not shown: ben does not follow alyssa any more.")


def test_a_deleted_tweet(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    Tweet.objects.filter(pk=tweet.pk).delete()
    assert found(ben, tweet.pk) == (Reason.DELETED, False, None)
    assert about(ben, tweet)["outbox"].startswith("retract, turn ")


def test_a_pending_tweet(ben: User, alyssa: User) -> None:
    tweet = TweetFactory.create(author=alyssa)
    assert found(ben, tweet.pk) == (Reason.PENDING, False, None)
    assert f"user {ben.pk} is still to be reached" in about(ben, tweet)["outbox"]


def test_a_retraction_that_waits_for_the_delivery(ben: User, alyssa: User) -> None:
    tweet = TweetFactory.create(author=alyssa)
    turn = FanOut.objects.get().turn
    Tweet.objects.filter(pk=tweet.pk).delete()
    assert f"waits for turn {turn}" in about(ben, tweet)["outbox"]


def test_a_failing_tweet_with_its_error(ben: User, alyssa: User) -> None:
    tweet = TweetFactory.create(author=alyssa)
    FanOut.objects.update(attempts=3, last_error="ids don't fit")
    assert found(ben, tweet.pk) == (Reason.FAILING, False, None)
    assert "its delivery has failed 3 times in a row: ids don't fit." in answer(ben, tweet)
    assert "failed 3 times in a row: ids don't fit" in about(ben, tweet)["outbox"]


def test_a_tweet_whose_delivery_has_not_reached_this_reader(ben: User, alyssa: User) -> None:
    for follower in UserFactory.create_batch(2):
        FollowFactory.create(follower=follower, followed=alyssa)
        page(follower)
    tweet = TweetFactory.create(author=alyssa)
    run_round(followers=1)
    assert found(ben, tweet.pk) == (Reason.LISTED, True, 1)
    assert f"user {ben.pk} was reached" in about(ben, tweet)["outbox"]
    assert found(follower, tweet.pk) == (Reason.UNDER_WAY, False, None)
    assert f"Followers above user {ben.pk} are still to be" in answer(follower, tweet)


def test_a_tweet_that_is_flagged(ben: User, alyssa: User) -> None:
    for follower in UserFactory.create_batch(9):
        FollowFactory.create(follower=follower, followed=alyssa)
        page(follower)
    tweet = TweetFactory.create(author=alyssa)
    with small_ranges():
        run_round(followers=1)
    assert found(follower, tweet.pk) == (Reason.FLAGGED, True, 1)
    assert about(follower, tweet)["flag"].startswith("raised at ")


def test_an_absent_list(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    upkeep.forget(ben.pk)
    assert found(ben, tweet.pk) == (Reason.ABSENT, True, 1)
    assert explain(ben.pk).answer.startswith("There is no list.")


def test_a_list_of_another_version(ben: User, alyssa: User, louis: User) -> None:
    tweet = post(alyssa)
    FollowFactory.create(follower=ben, followed=louis)
    assert found(ben, tweet.pk) == (Reason.NOT_BELIEVED, True, 1)
    assert Doubt.VERSION in answer(ben, tweet)


def test_a_list_of_another_generation(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    admitting.renew()
    assert found(ben, tweet.pk) == (Reason.NOT_BELIEVED, True, 1)
    assert Doubt.GENERATION in answer(ben, tweet)


def test_a_list_on_a_server_that_is_not_admitted(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    Admission.objects.update(identity="another")
    assert Doubt.NOT_ADMITTED in answer(ben, tweet)


def test_a_list_that_is_being_rebuilt(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    store.begin_rebuild(ben.pk)
    assert Doubt.REBUILDING in answer(ben, tweet)


def test_a_tweet_below_the_floor(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    valkey().hset(state_key(ben.pk), "floor", tweet.pk)
    assert found(ben, tweet.pk) == (Reason.BELOW_FLOOR, True, 1)


def test_a_trimmed_tweet(ben: User, alyssa: User, list_size: Callable[..., None]) -> None:
    list_size(cap=10, spacing=5)
    tweet = post(alyssa)
    post(alyssa, count=30)
    assert found(ben, tweet.pk) == (Reason.TRIMMED, True, 2)


def test_a_tweet_on_page_3(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    post(alyssa, count=40)
    assert found(ben, tweet.pk) == (Reason.LISTED, True, 3)
    assert answer(ben, tweet) == "Shown on page 3: it comes from the list."
    assert about(ben, tweet)["in the list"] == "element 41 of 42, from the head"


def test_a_tweet_below_the_pages_that_are_looked_through(
    ben: User, alyssa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tweet = post(alyssa)
    post(alyssa, count=200)
    monkeypatch.setattr(facts, "MOST_TWEETS", 200)
    assert found(ben, tweet.pk) == (Reason.LISTED, True, None)


def test_a_tweet_that_a_believed_list_lacks(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    valkey().lrem(list_key(ben.pk), 0, Entry(tweet.pk, alyssa.pk).encode())  # type: ignore[arg-type]
    assert found(ben, tweet.pk) == (Reason.MISSING, False, None)


def test_redis_does_not_answer(ben: User, alyssa: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "BREAKER_SECONDS", 60)
    tweet = post(alyssa)
    with override_settings(REDIS_URL=f"redis://{LOOPBACK}:{free_port()}"):
        assert found(ben, tweet.pk) == (Reason.UNREACHABLE, True, 1)
        assert explain(ben.pk).answer.startswith("Redis failed: Redis did not answer a moment ago.")


def test_an_explanation_of_the_list(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    push(tweet.pk, ben.pk)
    valkey().expire(list_key(ben.pk), store.EXPIRY_SECONDS - 3600)
    explained = about(ben)
    assert explained["list"] == "The list is believed."
    assert explained["length"].startswith("3 elements: 2 entries (1 repeated), 0 marks")
    assert explained["memory"] == f"{upkeep.memory_bytes(ben.pk):,} bytes"
    assert re.fullmatch(
        r"in 29 days, 2(3:00:00|2:59:\d\d); built, or renewed by a read, 1:00:\d\d ago",
        explained["expiry"],
    )


def test_an_explanation_changes_nothing(ben: User, alyssa: User, louis: User) -> None:
    tweet = post(alyssa)
    FollowFactory.create(follower=ben, followed=louis)
    keys = [list_key(ben.pk), state_key(ben.pk)]
    for key in keys:
        valkey().expire(key, 1000)
    before = [valkey().dump(key) for key in keys]
    explain(ben.pk, tweet.pk)
    assert [valkey().dump(key) for key in keys] == before
    assert all(valkey().ttl(key) <= 1000 for key in keys)


def test_an_explanation_takes_few_statements(
    ben: User, alyssa: User, statements: Callable[[], int]
) -> None:
    tweet = post(alyssa, count=30)
    statements()
    assert len(explain(ben.pk, tweet.pk).entries) == 20
    assert statements() <= 15


def test_the_command_prints_the_explanation(ben: User, alyssa: User) -> None:
    tweet = post(alyssa)
    out = io.StringIO()
    call_command("explain_timeline", "ben", str(tweet.pk), stdout=out)
    first, *lines = out.getvalue().splitlines()
    assert first == f"ben (user {ben.pk}): Shown on page 1: it comes from the list."
    assert f"  tweet        by alyssa (user {alyssa.pk}), stored at " in out.getvalue()
    assert lines[-1].endswith(f"tweet {tweet.pk} by user {alyssa.pk}. {first.partition(': ')[2]}")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["bob"], "there is no user 'bob'"),
        (["b\0b"], r"there is no user 'b\\x00b'"),
        (["\udcff"], r"there is no user '\\udcff'"),
        (["ben", "x"], "'x' is not the id of a tweet"),
        (["ben", "0"], "'0' is not the id of a tweet"),
        (["ben", str(MAX_ID + 1)], "is not the id of a tweet"),
    ],
)
def test_bad_input_is_refused(ben: User, arguments: list[str], error: str) -> None:
    with pytest.raises(CommandError, match=error):
        call_command("explain_timeline", *arguments)


@pytest.mark.parametrize("tweet_id", [1, MAX_ID])
def test_any_id_of_a_tweet_is_explained(ben: User, tweet_id: int) -> None:
    assert found(ben, tweet_id) == (Reason.DELETED, False, None)


def address(reader: User, tweet: object = "") -> str:
    return f"{reverse('explain_timeline', args=[reader.pk])}?tweet={tweet}"


def test_the_admin_shows_the_explanation(ben: User, alyssa: User, admin_client: Client) -> None:
    tweet = post(alyssa)
    shown = admin_client.get(address(ben, tweet.pk)).content.decode()
    assert "Shown on page 1: it comes from the list." in shown
    assert f"by alyssa (user {alyssa.pk}), stored at " in shown
    assert f'<a href="?tweet={tweet.pk}">{tweet.pk}</a>' in shown
    assert "The list is believed." in admin_client.get(address(ben)).content.decode()


@pytest.mark.parametrize("tweet", ["x", "0", "%00", "%ED%B3%BF", MAX_ID + 1, "<script>"])
def test_the_admin_refuses_bad_input(ben: User, admin_client: Client, tweet: object) -> None:
    response = admin_client.get(address(ben, tweet))
    assert response.status_code == 400
    assert "is not the id of a tweet" in response.content.decode()
    assert "<script>" not in response.content.decode().partition("errornote")[2]


@pytest.mark.parametrize("user_id", [0, MAX_ID, MAX_ID + 1])
def test_the_admin_knows_no_such_user(admin_client: Client, user_id: int) -> None:
    assert admin_client.get(f"/admin/users/user/{user_id}/timeline/").status_code == 404


def test_the_admin_explains_only_with_the_permission(
    ben: User, louis: User, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    louis.is_staff = True
    louis.save()
    client.force_login(louis)
    louis.user_permissions.add(Permission.objects.get(codename="view_user"))
    change = f"/admin/users/user/{ben.pk}/change/"
    assert client.get(address(ben)).status_code == 403
    assert "home-timeline" not in client.get(change).content.decode()
    louis.user_permissions.add(Permission.objects.get(codename="view_follow"))
    with caplog.at_level("INFO", "twit.access"):
        assert client.get(address(ben)).status_code == 200
    assert f"User {louis.pk} acts for user {ben.pk}" in caplog.text
    assert "home-timeline" in client.get(change).content.decode()


def test_strangers_are_sent_to_the_login(ben: User, client: Client) -> None:
    assert client.get(address(ben))["Location"].startswith("/admin/login/")
