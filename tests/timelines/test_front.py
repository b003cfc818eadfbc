"""Dead rows in front of the outbox, and rows that turn up late."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from tests.factories import FollowFactory, TweetFactory
from tests.stack import wait_until
from tests.timelines.machine import Worker
from timelines.delivery import claims, flags, front, rounds
from timelines.delivery.front import Front, Sample
from timelines.delivery.rounds import run_round
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def open_front(monkeypatch: pytest.MonkeyPatch) -> Front:
    """The front of this test's connection, which moves with every claim."""
    monkeypatch.setattr(front, "LOOK_SECONDS", 0)
    made = Front()
    monkeypatch.setattr(front, "Front", lambda: made)
    front._fronts.clear()
    return made


@pytest.fixture
def other(db: None) -> Iterator[Worker]:
    """Another connection, whose transactions stay open until the test ends them."""
    opened = Worker()
    yield opened
    opened.die()
    opened.connection.close()


def now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [(moment,)] = cursor.fetchall()
    assert isinstance(moment, datetime)
    return moment


def move_up() -> datetime:
    """Let two empty rounds move the front up. Return the time before the first of them."""
    before = now()
    assert not run_round().claimed
    wait_for_other_databases()
    assert not run_round().claimed
    return before


def wait_for_other_databases() -> None:
    """Wait until no transaction is open that began before in another database.

    Transaction ids are those of the whole server, so such a transaction holds the front back.
    """
    moment = now()
    query = """
        SELECT 1 FROM pg_stat_activity
        WHERE datname <> current_database() AND backend_xid IS NOT NULL AND xact_start <= %s
    """

    def are_over() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(query, [moment])
            return not cursor.fetchall()

    wait_until(are_over)


def post(author: User, worker: Worker) -> None:
    """Insert a tweet in the worker's open transaction."""
    insert = "INSERT INTO tweets_tweet (author_id, message) VALUES (%s, 'late')"
    worker.connection.execute(insert, [author.pk])


def test_the_front_moves_up_behind_the_rows_that_are_done(ben: User, open_front: Front) -> None:
    assert open_front.start == front.EVER
    TweetFactory.create(author=ben)
    assert run_round().finished == 1
    assert open_front.start < move_up()
    before = now()
    move_up()
    assert open_front.start > before


def test_a_row_whose_transaction_was_open_is_found_when_it_commits(
    ben: User, open_front: Front, other: Worker
) -> None:
    post(ben, other)
    for _ in range(5):
        move_up()
    other.connection.commit()
    assert run_round().finished == 1


def test_without_waiting_for_open_transactions_that_row_is_missed(
    ben: User, open_front: Front, other: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = front.LOOK.replace(
        "pg_snapshot_xmin(pg_current_snapshot())", "(1 + pg_current_xact_id()::text::bigint)"
    )
    assert careless != front.LOOK
    monkeypatch.setattr(front, "LOOK", careless)
    post(ben, other)
    for _ in range(5):
        move_up()
    other.connection.commit()
    assert not run_round().claimed


def test_a_row_is_found_whose_transaction_began_long_before_it_was_inserted(
    ben: User, open_front: Front, other: Worker
) -> None:
    other.connection.execute("SELECT now()")
    for _ in range(3):
        move_up()
    post(ben, other)
    for _ in range(3):
        move_up()
    other.connection.commit()
    assert run_round().finished == 1


def test_rows_of_a_round_that_another_worker_rolls_back_are_found(
    ben: User, open_front: Front, other: Worker
) -> None:
    TweetFactory.create_batch(3, author=ben)
    other.claim(rows=10, followers=10)
    assert len(other.claims) == 3
    for _ in range(5):
        move_up()
    other.die()
    assert run_round().finished == 3


def test_a_read_only_transaction_does_not_hold_the_front_back(
    ben: User, open_front: Front, other: Worker
) -> None:
    other.connection.execute("SELECT count(*) FROM timelines_fanout")  # as a pg_dump does
    before = now()
    move_up(), move_up()
    assert open_front.start > before


def test_a_row_that_waits_is_not_passed(ben: User, open_front: Front) -> None:
    tweet = TweetFactory.create(author=ben)
    later = timedelta(hours=1)
    FanOut.objects.update(next_attempt_at=Now() + later)
    tweet.delete()  # its retraction is due, and waits for the delivery
    for _ in range(3):
        move_up()
    assert FanOut.objects.filter(next_attempt_at__gte=open_front.start).count() == 2


def test_a_full_look_finds_rows_from_before_the_front(
    ben: User, open_front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        move_up()
    TweetFactory.create(author=ben)
    FanOut.objects.update(next_attempt_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert not run_round().claimed
    monkeypatch.setattr(open_front, "_full_look_at", 0.0)
    assert run_round().claimed == 1


def test_rows_are_found_at_once_after_the_clock_was_set_back(ben: User, open_front: Front) -> None:
    for _ in range(3):
        move_up()
    ahead = now() + timedelta(hours=1)  # what the clock said before
    open_front.start = ahead
    open_front._samples.append(Sample(ahead, 1))
    TweetFactory.create(author=ben)
    assert run_round().claimed == 1


def test_each_connection_has_a_front_of_its_own(ben: User, other: Worker) -> None:
    run_round()
    TweetFactory.create(author=ben)
    FanOut.objects.update(next_attempt_at=datetime(2020, 1, 1, tzinfo=UTC))
    other.claim(rows=1, followers=1)
    assert len(other.claims) == 1


def test_the_admin_retries_at_a_time_that_is_not_before_the_front(
    ben: User, open_front: Front, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PAUSES_SECONDS", (600,))
    FollowFactory.create(followed=ben)
    row = FanOut.objects.create(kind=FanOut.Kind.DELIVER, tweet_id=-1, author_id=ben.pk)
    run_round()
    for _ in range(3):
        move_up()
    action = {"action": "retry_now", "_selected_action": [row.pk]}
    admin_client.post(reverse("admin:timelines_fanout_changelist"), action)
    assert run_round().failed == 1


def test_a_claim_does_not_read_the_dead_rows_before_the_front(
    ben: User, open_front: Front, other: Worker
) -> None:
    other.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    other.connection.execute("SELECT 1")  # an old snapshot, which keeps the dead rows
    count = 20_000
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO timelines_fanout (kind, tweet_id, author_id) "
            "SELECT 'deliver', i, 1 FROM generate_series(1, %s) AS i",
            [count],
        )
        cursor.execute("DELETE FROM timelines_fanout")
        cursor.execute("ANALYZE timelines_fanout")  # the planner expects an empty table
    before = pages_read(front.EVER)
    assert before > 300
    move_up(), move_up()
    Tweet.objects.bulk_create(Tweet(author=ben, message="hi") for _ in range(5))
    assert pages_read(open_front.start) < 100  # some for each row


def pages_read(start: datetime) -> int:
    """Return how many pages of tables and indexes one claim reads."""
    with connection.cursor() as cursor:
        cursor.connection.execute("SET enable_bitmapscan = off")
        cursor.connection.execute("SET enable_seqscan = off")
        values = ("200", "65536", f"'{start.isoformat()}'::timestamptz")
        claim = claims.CLAIM
        for number, value in enumerate(values, start=1):
            claim = claim.replace(f"${number}", value)
        plan = cursor.connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {claim}").fetchone()
        cursor.connection.execute("RESET ALL")
    assert plan
    return int(plan[0][0]["Plan"]["Shared Hit Blocks"] + plan[0][0]["Plan"]["Shared Read Blocks"])


def seq_scans() -> int:
    """Return how often the outbox was read from end to end."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'timelines_fanout'"
        )
        [(count,)] = cursor.fetchall()
    return int(count)


def test_a_plan_from_when_the_outbox_was_empty_does_not_scan_it_later(ben: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE timelines_fanout")
    for _ in range(12):  # psycopg prepares the statement, and Postgres keeps a plan
        run_round()
        flags.sweep()
    before = seq_scans()
    Tweet.objects.bulk_create(Tweet(author=ben, message="hi") for _ in range(500))
    while run_round().claimed:
        flags.sweep()
    assert seq_scans() == before
