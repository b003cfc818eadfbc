"""The management commands for operators."""

import io
import re
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.proxy import Proxy
from tests.stack import CHECKOUT, Stack
from tests.timelines.lists import deliver_all, listed, page
from tests.timelines.machine import small_ranges
from tests.valkey import client
from timelines.delivery import admitting
from timelines.delivery.rounds import run_round
from timelines.delivery.tasks import heartbeat
from timelines.lists import store, upkeep
from timelines.lists.entries import Entry
from timelines.lists.store import list_key, state_key
from timelines.models import FanOut, Sighting
from timelines.signs import SWEEP, sweep_of_this_host
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db

GRAPH = CHECKOUT.parent / "shared/data/twitter-follows.csv.gz"


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def tweets(ben: User, alyssa: User) -> list[Tweet]:
    """Three tweets by alyssa, delivered to ben's list."""
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)
    made = TweetFactory.create_batch(3, author=alyssa)
    deliver_all()
    return made


def remove_entry(tweet: Tweet, reader: User) -> None:
    """Remove the tweet's entry from the reader's list."""
    entry = Entry(tweet.pk, tweet.author_id).encode()
    assert client().lrem(list_key(reader.pk), 0, entry) == 1  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_a_command_waits_for_a_server_that_would_be_too_slow_for_a_request(stack: Stack) -> None:
    port = int(settings.REDIS_URL.rpartition(":")[2].partition("/")[0])
    with closing(Proxy(port, delay_seconds=0.4)) as slow:
        stack.env["REDIS_URL"] = slow.url(settings.REDIS_URL)
        assert "0 timelines, 0 believed" in stack.manage("verify_timelines")


def test_verify_finds_no_difference_in_a_correct_list(tweets: list[Tweet]) -> None:
    assert run("verify_timelines").startswith("1 timelines, 1 believed: 0 missing, 0 surplus; 3 en")


def test_verify_finds_a_lost_entry_and_repair_restores_it(ben: User, tweets: list[Tweet]) -> None:
    remove_entry(tweets[1], ben)
    with pytest.raises(CommandError, match="1 home timelines lack tweets"):
        run("verify_timelines", "ben")
    output = run("verify_timelines", "--repair")
    assert f"user {ben.pk}: 1 missing ({tweets[1].pk}), 0 surplus" in output
    assert "1 rebuilt" in output
    assert listed(ben.pk) == [tweet.pk for tweet in tweets[::-1]]
    run("verify_timelines")


def test_a_surplus_entry_is_reported_but_is_no_error(ben: User, tweets: list[Tweet]) -> None:
    Tweet.objects.filter(pk=tweets[0].pk).delete()
    FanOut.objects.all().delete()
    assert "0 missing, 1 surplus" in run("verify_timelines")


def test_a_pending_tweet_does_not_count_as_missing(alyssa: User, tweets: list[Tweet]) -> None:
    TweetFactory.create(author=alyssa)
    assert "0 missing" in run("verify_timelines")


def test_a_missing_tweet_in_a_list_that_is_not_believed_is_no_error(
    ben: User, louis: User, tweets: list[Tweet]
) -> None:
    TweetFactory.create(author=louis)
    deliver_all()
    FollowFactory.create(follower=ben, followed=louis)
    output = run("verify_timelines")
    assert "(not believed): 1 missing" in output
    assert "1 timelines, 0 believed: 0 missing" in output


def test_sample_sets_the_number_of_timelines(ben: User, alyssa: User, louis: User) -> None:
    for reader in (ben, alyssa, louis):
        page(reader)
    assert run("verify_timelines", "--sample", "2").startswith("2 timelines")


def test_users_are_given_by_username_or_id(ben: User, louis: User, tweets: list[Tweet]) -> None:
    page(louis)
    assert run("forget_timelines", "ben") == "1 timelines forgotten\n"
    assert (listed(ben.pk), listed(louis.pk)) == (None, [])
    assert run("rebuild_timelines", str(ben.pk)) == "1 timelines rebuilt\n"
    assert listed(ben.pk) == [tweet.pk for tweet in tweets[::-1]]


def test_all_selects_every_materialised_timeline(
    ben: User, louis: User, tweets: list[Tweet]
) -> None:
    assert run("rebuild_timelines", "--all") == "1 timelines rebuilt\n"
    page(louis)
    assert run("forget_timelines", "--all") == "2 timelines forgotten\n"
    assert list(upkeep.materialised()) == []


def test_repair_removes_the_list_of_a_deleted_user(ben: User, tweets: list[Tweet]) -> None:
    ben.delete()
    assert "1 timelines, 0 believed: 0 missing" in run("verify_timelines", "--repair")
    assert list(upkeep.materialised()) == []


def test_a_failed_repair_is_still_an_error(ben: User, tweets: list[Tweet]) -> None:
    remove_entry(tweets[1], ben)
    client().hset(state_key(ben.pk), "busy_until", 2**40)
    with pytest.raises(CommandError, match="1 home timelines lack tweets"):
        run("verify_timelines", "--repair")


@pytest.mark.parametrize("command", ["rebuild_timelines", "forget_timelines"])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "name some users"),
        (["ben", "--all"], "name some users"),
        (["bob"], "no user 'bob'"),
        (["0"], "no user '0'"),
        ([str(2**63)], "no user '92"),
        (["9" * 5000], "no user '99"),
    ],
)
def test_a_command_without_valid_users_fails(
    ben: User, command: str, arguments: list[str], error: str
) -> None:
    with pytest.raises(CommandError, match=error):
        run(command, *arguments)


def test_a_rebuild_in_progress_is_reported(ben: User) -> None:
    store.begin_rebuild(ben.pk)
    assert "1 were skipped: being rebuilt already" in run("rebuild_timelines", "ben")


def test_deliver_pending_reports_what_it_did(ben: User, alyssa: User, tweets: list[Tweet]) -> None:
    TweetFactory.create_batch(2, author=alyssa)
    FanOut.objects.create(kind="deliver", tweet_id=-1, author_id=alyssa.pk)
    output = run("deliver_pending")
    assert output == "2 parts of fan-outs done, 2 lists reached; 1 pending, 1 of them failing\n"
    assert len(listed(ben.pk) or []) == 5


@pytest.mark.parametrize(
    "command",
    [
        "verify_timelines",
        "explain_timeline",
        "rebuild_timelines",
        "forget_timelines",
        "deliver_pending",
    ],
)
def test_every_command_has_a_detailed_help_text(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        call_command(command, "--help")
    assert len(capsys.readouterr().out) > 400


@pytest.mark.slow
@pytest.mark.skipif(not GRAPH.exists(), reason=f"the follow graph {GRAPH.name} is missing")
def test_verify_finds_no_difference_on_the_real_graph_after_2000_tweets() -> None:
    run("import_follows", str(GRAPH))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT follower_id FROM users_follow GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 200"
        )
        readers = [User.objects.get(pk=pk) for (pk,) in cursor.fetchall()]
    followed = list(Follow.objects.values_list("followed_id", flat=True)[:: 68_328 // 1000])
    for half in (0, 1):
        Tweet.objects.bulk_create(
            Tweet(author_id=followed[n], message=f"{n}")
            for n in range(half, 1000 + half)
            if n < len(followed)
        )
        for reader in readers[half::2]:
            page(reader)
        run("deliver_pending")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # else the plans depend on what earlier tests have left behind
    assert "200 timelines, 200 believed: 0 missing, 0 surplus" in run("verify_timelines")
    victim = readers[0]
    tweet = Tweet.objects.get(pk=(listed(victim.pk) or [])[5])
    remove_entry(tweet, victim)
    with pytest.raises(CommandError, match="1 home timelines lack tweets"):
        run("verify_timelines")
    run("verify_timelines", "--repair")
    assert "0 missing" in run("verify_timelines")


def test_fanout_status_reports_the_backlog_and_the_workers(
    ben: User, alyssa: User, tweets: list[Tweet]
) -> None:
    TweetFactory.create_batch(2, author=alyssa)
    FanOut.objects.create(kind="deliver", tweet_id=-1, author_id=alyssa.pk, attempts=3)
    output = dict(line.split(maxsplit=1) for line in run("fanout_status").splitlines())
    assert output["pending"] == "3"
    assert output["ranges"] == output["flags"] == "0"
    assert output["failing"] == "1"
    assert output["admitted"] == "16,384 of 16,384 slots"
    assert output["workers"] == output["wake-ups"] == "0"
    assert float(output["oldest"].removesuffix(" s")) >= 0


def test_fanout_status_counts_a_fan_out_with_many_ranges_once(ben: User, alyssa: User) -> None:
    for follower in UserFactory.create_batch(9):
        FollowFactory.create(follower=follower, followed=alyssa)
    TweetFactory.create(author=alyssa)
    with small_ranges():
        run_round(followers=1)
    output = dict(line.split(maxsplit=1) for line in run("fanout_status").splitlines())
    assert output["pending"] == output["flags"] == "1"
    assert output["ranges"] == str(FanOut.objects.count())
    assert FanOut.objects.count() > 2


def test_the_admin_tells_ranges_and_flags_in_plain_words(
    ben: User, alyssa: User, admin_client: Client
) -> None:
    followers = UserFactory.create_batch(9)
    for follower in followers:
        FollowFactory.create(follower=follower, followed=alyssa)
    tweet = TweetFactory.create(author=alyssa)
    address = reverse("admin:timelines_fanout_changelist")
    assert "all" in admin_client.get(address).content.decode()
    with small_ranges():
        run_round(followers=1)
    shown = admin_client.get(address).content.decode()
    assert f"to {followers[-1].pk}" in shown
    flags = reverse("admin:timelines_flag_changelist")
    assert str(tweet.pk) in admin_client.get(flags).content.decode()
    assert admin_client.get(reverse("admin:timelines_flag_add")).status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("command", "record", "seconds"),
    [
        ("check_worker", lambda: admitting.see(sweep_of_this_host()), 30),
        ("check_beat", heartbeat, 180),
    ],
)
def test_a_check_fails_until_its_process_was_seen_and_after_it_was_not(
    command: str, record: Callable[[], object], seconds: int
) -> None:
    admitting.see(f"{SWEEP}:another host")
    with pytest.raises(CommandError, match="There was none"):
        run(command)
    record()
    assert re.fullmatch(r"The last one was \d s ago\.\n", run(command))
    late = timezone.now() - timedelta(seconds=seconds + 1)
    Sighting.objects.update(seen_at=late)
    with pytest.raises(CommandError, match=rf"The last one was {seconds // 10}\d s ago"):
        run(command)


@pytest.mark.django_db(transaction=True)
def test_a_host_without_workers_is_forgotten_after_a_day() -> None:
    for host in ("former", "present"):
        admitting.see(f"{SWEEP}:{host}")
    admitting.see(SWEEP)
    late = timezone.now() - timedelta(days=1, seconds=1)
    Sighting.objects.exclude(identity=f"{SWEEP}:present").update(seen_at=late)
    heartbeat()
    left = set(
        Sighting.objects.filter(identity__startswith=SWEEP).values_list("identity", flat=True)
    )
    assert left == {SWEEP, f"{SWEEP}:present"}
