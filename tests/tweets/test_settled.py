"""Settled ids: no tweet with such an id can still appear.

Transactions of tests that run at the same time hold them back too.
"""

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.factories import TweetFactory
from tests.psql import connect
from tests.stack import wait_until
from tweets import settled
from tweets.settled import Settled
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)
INSERT = "INSERT INTO tweets_tweet (author_id, message) VALUES (%s, 'hello') RETURNING id"


@pytest.fixture
def other() -> Iterator[psycopg.Connection[TupleRow]]:
    """A second connection, in a transaction."""
    with connect() as connection:
        connection.autocommit = False
        yield connection


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """look() returns the highest settled id that one process knows of, without its patience."""
    monkeypatch.setattr(settled, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(settled, "MISSING_AMONG", 0)
    return Settled().look


@pytest.fixture
def patient_look(look: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """look() of a process that waits for ids without a tweet."""
    monkeypatch.setattr(settled, "MISSING_AMONG", 100)
    return look


def test_a_committed_id_is_settled(alyssa: User, look: Callable[[], int]) -> None:
    for _ in range(3):
        newest = TweetFactory.create(author=alyssa).pk
        while look() < newest:
            pass
        assert look() == newest


def test_an_open_transaction_holds_its_ids_back(
    alyssa: User, other: psycopg.Connection[TupleRow], look: Callable[[], int]
) -> None:
    before = TweetFactory.create(author=alyssa)
    other.execute(INSERT, [alyssa.pk])
    assert look() < before.pk + 1  # although no higher transaction id has ended
    after = TweetFactory.create(author=alyssa)
    assert look() < before.pk + 1
    other.commit()
    wait_until(lambda: look() == after.pk)


def test_a_transaction_has_its_id_before_it_takes_a_tweets_id(
    alyssa: User, other: psycopg.Connection[TupleRow]
) -> None:
    """Otherwise the id could be settled before the transaction is known to run."""
    seen = (
        "CREATE FUNCTION pg_temp.transaction_id() RETURNS bigint LANGUAGE sql AS "
        "'SELECT pg_current_xact_id_if_assigned()::text::bigint'"
    )
    other.execute(seen)
    other.commit()
    insert = "INSERT INTO tweets_tweet (author_id, message) SELECT %s, pg_temp.transaction_id()"
    [(transaction_id,)] = other.execute(f"{insert} RETURNING message", [alyssa.pk]).fetchall()
    assert transaction_id.isdigit()


def test_an_id_that_was_taken_by_hand_is_waited_for(
    alyssa: User,
    other: psycopg.Connection[TupleRow],
    patient_look: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settled, "MISSING_SECONDS", 2.0)
    before = TweetFactory.create(author=alyssa)
    wait_until(lambda: patient_look() == before.pk)
    other.execute("SELECT nextval('tweets_tweet_id_seq')")
    other.commit()  # it may have taken a transaction id: the sequence writes a log now and then
    after = TweetFactory.create(author=alyssa)
    started = time.monotonic()
    assert patient_look() == before.pk
    wait_until(lambda: patient_look() == after.pk)
    assert time.monotonic() - started > 1.9


def test_a_sequence_that_goes_back_starts_anew(
    alyssa: User, other: psycopg.Connection[TupleRow], look: Callable[[], int]
) -> None:
    highest = TweetFactory.create_batch(3, author=alyssa)[-1].pk
    wait_until(lambda: look() == highest)
    other.execute(INSERT, [alyssa.pk])
    assert look() == highest
    with connect() as postgres:
        postgres.execute("SELECT setval('tweets_tweet_id_seq', %s)", [highest - 2])
    assert look() == 0
    other.commit()
    wait_until(lambda: look() == highest - 2)


def test_ids_that_were_to_be_settled_are_forgotten_if_the_sequence_goes_back(
    alyssa: User,
    other: psycopg.Connection[TupleRow],
    look: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = TweetFactory.create(author=alyssa).pk
    wait_until(lambda: look() == before)
    other.execute(INSERT, [alyssa.pk])
    last = TweetFactory.create_batch(2, author=alyssa)[-1].pk
    assert look() == before
    monkeypatch.setattr(settled, "IDLE_SECONDS", 60.0)
    with connect() as postgres:
        postgres.execute("SELECT setval('tweets_tweet_id_seq', %s)", [before + 1])
    other.commit()
    found = [0]
    while found[-1] < before + 1:
        found.append(look())
    assert found[-1] == before + 1 < last
