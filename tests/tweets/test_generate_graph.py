"""The command that generates a graph, and tweets by its users."""

import io
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from tests.factories import TweetFactory, UserFactory
from timelines.models import FanOut
from tweets import generating
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("generate_graph", *arguments, stdout=out)
    return out.getvalue()


def run_for_tweets(total: int) -> str:
    """Generate tweets by the users that exist."""
    return run("--users", "0", "--mean-follows", "0", "--tweets", str(total))


def stored() -> list[tuple[int, str]]:
    return list(Tweet.objects.order_by("pk").values_list("author_id", "message"))


def test_the_requested_users_are_created() -> None:
    assert run("--users", "50", "--mean-follows", "2").startswith("50 new users")
    assert User.objects.count() == 50
    assert Follow.objects.exists()


@pytest.mark.parametrize(
    "arguments", [["--users", "-1"], ["--mean-follows", "-1"], ["--tweets", "-1"]]
)
def test_an_impossible_number_is_rejected(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=arguments[0]):
        run(*arguments)


def test_tweets_without_users_are_rejected() -> None:
    with pytest.raises(CommandError, match="--tweets: there are no users"):
        run_for_tweets(1)


def test_tweets_are_generated_by_existing_users_until_there_are_enough(
    ben: User, alyssa: User
) -> None:
    TweetFactory.create(author=UserFactory.create(pk=alyssa.pk + 1000))
    assert run_for_tweets(9) == "0 new users, 0 new follows, 8 new tweets.\n"
    assert run_for_tweets(9) == "0 new users, 0 new follows, 0 new tweets.\n"
    assert FanOut.objects.count() == Tweet.objects.count() == 9


def test_the_times_of_generated_tweets_rise_with_their_ids_up_to_now(ben: User) -> None:
    run_for_tweets(5)
    run_for_tweets(9)
    times = list(Tweet.objects.order_by("pk").values_list("created_at", flat=True))
    assert times == sorted(set(times))
    assert timezone.now() - generating.PERIOD < times[0]
    assert times[-1] <= timezone.now()


@pytest.mark.django_db(transaction=True)
def test_an_interrupted_run_is_completed_as_if_nothing_had_happened(
    monkeypatch: pytest.MonkeyPatch, ben: User, alyssa: User
) -> None:
    monkeypatch.setattr(generating, "PIECE_TWEETS", 2)
    inserts = count()

    def fail_at_the_second_piece(execute: Any, sql: str, *rest: Any) -> Any:
        if 'INSERT INTO "tweets_tweet"' in sql and next(inserts) == 1:
            raise OperationalError("the server went away")
        return execute(sql, *rest)

    with (
        connection.execute_wrapper(fail_at_the_second_piece),
        pytest.raises(CommandError, match="went away; some of it may be stored"),
    ):
        run_for_tweets(7)
    assert len(stored()) == 2
    run_for_tweets(7)
    assert stored() == texts(generating.random_tweets([ben.pk, alyssa.pk], seed=1), 7)


def texts(tweets: Iterator[Tweet], number: int) -> list[tuple[int, str]]:
    return [(tweet.author_id, tweet.message) for tweet in islice(tweets, number)]


def test_a_tenth_of_the_authors_write_most_of_the_tweets() -> None:
    authors = range(1, 2001)
    generated = texts(generating.random_tweets(authors, seed=3), 20_000)
    assert generated != texts(generating.random_tweets(authors, seed=4), 20_000)
    numbers = Counter(author_id for author_id, _ in generated).most_common(200)
    assert 0.6 < sum(number for _, number in numbers) / 20_000 < 0.9
    assert len({message for _, message in generated}) > 19_000
