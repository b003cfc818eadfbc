"""Bulk loading of follow graphs, and import_follows."""

import gzip
import io
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from hypothesis import given
from hypothesis import strategies as st

from api.fields import MAX_ID
from tests.factories import FollowFactory, TweetFactory, UserFactory
from users import graph
from users.graph import Edge
from users.models import Follow, User

pytestmark = pytest.mark.django_db

EDGES = [(1, 2), (3, 2), (2, 1)]


def stored() -> list[tuple[int, int]]:
    return sorted(Follow.objects.values_list("follower_id", "followed_id"))


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,2\n2,1\n",
        "follower_id,followed_id\n1,2\n3,2\n2,1",
        "\ufefffollower,followed\r\n1,2\r\n3,2\r\n2,1\r\n",
        "# a comment\n\n1\t2\n3\t2\n2\t1\n",
        "1 2\n3   2\n 2 1 \n",
        "1, 2\n3, 2\n2, 1\n2, 1\n",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_common_edge_list_format_is_read(tmp_path: Path, text: str, packed: bool) -> None:
    file = tmp_path / "edges"
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert run("import_follows", str(file)) == "3 new users, 3 new follows.\n"
    assert stored() == sorted(EDGES)
    assert User.objects.get(pk=3).username == "user3"
    assert run("import_follows", str(file)) == "0 new users, 0 new follows.\n"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"1 2\n")))
    assert run("import_follows", "-") == "2 new users, 1 new follows.\n"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("1,2,3", "line 3: two ids are needed, but it has 3 fields"),
        ("7", "line 3: two ids are needed, but it has 1 fields"),
        ("1,bob", "line 3: 'bob' is not a user id"),
        ("0,1", "line 3: '0' is not a user id"),
        ("-1,1", "line 3: '-1' is not a user id"),
        (f"1,{2**63}", f"line 3: '{2**63}' is not a user id"),
        ("4,4", "line 3: user 4 can't follow itself"),
        ("\xff,1", "is not a user id"),
    ],
)
def test_a_bad_line_is_reported_and_nothing_is_stored(
    tmp_path: Path, line: str, error: str
) -> None:
    file = tmp_path / "edges"
    file.write_bytes(f"a,b\n1,2\n{line}\n2,1\n".encode("latin-1"))
    with pytest.raises(CommandError, match=re.escape(error)):
        run("import_follows", str(file))
    assert (User.objects.count(), Follow.objects.count()) == (0, 0)


@pytest.mark.parametrize("line", ["1;2", "1.5,2", "0x1,2", "1,bob", "-1,2", "7"])
def test_a_first_line_that_names_no_columns_is_no_header(tmp_path: Path, line: str) -> None:
    file = tmp_path / "edges"
    for rest in ("", "\n1,2\n"):
        file.write_text(line + rest)
        with pytest.raises(CommandError, match="line 1: "):
            run("import_follows", str(file))
    assert not User.objects.exists()


@pytest.mark.parametrize("header", ["follower,followed", '"from_id" "to_id"', "source-id\ttarget2"])
def test_a_header_names_the_columns(header: str) -> None:
    assert list(graph.parse_edges([header, "1 2"])) == [Edge(1, 2)]


def test_a_number_of_5000_digits_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "edges"
    file.write_text("1," + "9" * 5000)
    with pytest.raises(CommandError, match="line 1: '999"):
        run("import_follows", str(file))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere can't be read"):
        run("import_follows", str(tmp_path / "nowhere"))


def test_a_truncated_gzip_file_stores_nothing(tmp_path: Path) -> None:
    file = tmp_path / "edges.gz"
    text = "\n".join(f"{i} {i + 1}" for i in range(1, 5000))
    file.write_bytes(gzip.compress(text.encode())[:-2000])
    with pytest.raises(CommandError, match="can't be read"):
        run("import_follows", str(file))
    assert not User.objects.exists()


def test_a_taken_username_is_reported_and_nothing_is_stored(tmp_path: Path) -> None:
    UserFactory.create(username="user2")
    file = tmp_path / "edges"
    file.write_text("1 2\n")
    with pytest.raises(CommandError, match="user2"):
        run("import_follows", str(file))
    assert not Follow.objects.exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_follow_waits_only_briefly_while_100_000_edges_are_loaded() -> None:
    users = 100_000
    graph.load([], users_up_to=users)
    edges = [Edge(user_id, user_id % 100 + 1) for user_id in range(101, users)]
    waits = []
    with ThreadPoolExecutor() as threads:
        started = time.monotonic()
        loading = threads.submit(load_in_thread, edges)
        for number in count():
            before = time.monotonic()
            Follow.objects.create(follower_id=101 + 797 * number % 99_000, followed_id=users)
            waits.append(time.monotonic() - before)
            if loading.done():
                break
    assert loading.result() == len(edges)
    assert max(waits) < max(0.5, (time.monotonic() - started) / 2)


def load_in_thread(edges: list[Edge]) -> int:
    try:
        return graph.load(edges).follows
    finally:
        connection.close()


def test_an_interrupted_load_keeps_whole_pieces_and_is_completed_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "edges"
    file.write_text("3 2\n2 1\n1 2\n1 2\n1 3\n")
    monkeypatch.setattr(graph, "PIECE_EDGES", 2)
    inserts = count()

    def fail_at_the_second_piece(execute: Any, sql: str, *rest: Any) -> Any:
        if "INSERT INTO users_follow" in sql and next(inserts) == 1:
            raise OperationalError("the server went away")
        return execute(sql, *rest)

    with (
        connection.execute_wrapper(fail_at_the_second_piece),
        pytest.raises(CommandError, match="went away; some of it may be stored"),
    ):
        run("import_follows", str(file))
    assert stored() == [(1, 2)]
    assert run("import_follows", str(file)) == "0 new users, 3 new follows.\n"
    assert stored() == [(1, 2), (1, 3), (2, 1), (3, 2)]


def test_a_load_does_not_lower_the_sequence_of_ids(ben: User, alyssa: User) -> None:
    """A concurrent transaction may have taken an id that is not visible yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('users_user_id_seq'), nextval('users_follow_id_seq')")
        taken = cursor.fetchone()
    graph.load([Edge(ben.pk, alyssa.pk)])
    assert UserFactory.create().pk > taken[0]
    assert FollowFactory.create().pk > taken[1]


def test_a_user_created_after_a_load_gets_an_unused_id(ben: User) -> None:
    graph.load([Edge(ben.pk + 5, ben.pk + 6)])
    assert UserFactory.create().pk == ben.pk + 7


def test_a_tweet_created_after_loaddata_gets_an_unused_id() -> None:
    call_command("loaddata", "demo", verbosity=0)
    tweet = TweetFactory.create(author_id=1, author=User.objects.get(pk=1))
    assert tweet.pk == 9


@given(st.lists(st.builds(Edge, st.integers(1, MAX_ID), st.integers(1, MAX_ID))))
def test_parsing_returns_the_edges_that_were_written(edges: list[Edge]) -> None:
    edges = [Edge(a, b) for a, b in edges if a != b]
    assert list(graph.parse_edges(f"{a}\t{b}\n" for a, b in edges)) == edges


def test_a_generated_graph_is_reproducible_and_has_the_requested_mean() -> None:
    edges = list(graph.power_law_edges(2000, 12.0, seed=3))
    assert edges == list(graph.power_law_edges(2000, 12.0, seed=3))
    assert edges != list(graph.power_law_edges(2000, 12.0, seed=4))
    assert len(edges) == len(set(edges)) == pytest.approx(24_000, rel=0.15)
    assert all(a != b for a, b in edges)
    most = Counter(followed for _, followed in edges).most_common(1)[0][1]
    assert most > 20 * 12


@pytest.mark.parametrize("command", ["import_follows", "generate_graph"])
def test_a_graph_does_not_collide_with_users_that_no_graph_has_brought(
    tmp_path: Path, command: str
) -> None:
    UserFactory.create(pk=2, username="alyssa")
    file = tmp_path / "edges"
    file.write_text("1 2\n3 2\n")
    arguments = [str(file)] if command == "import_follows" else ["--users=4", "--mean-follows=1"]
    with pytest.raises(CommandError, match=r"no graph created: 2 \(alyssa\); --offset"):
        run(command, *arguments)
    assert User.objects.count() == 1
    for _ in range(2):  # the second time its own users are there
        run(command, *arguments, "--offset", "10")
    assert not Follow.objects.filter(followed_id=2).exists()
    assert User.objects.filter(pk__in=(11, 13), username__in=("user11", "user13")).count() == 2
    run(command, *arguments, "--merge")
    assert User.objects.get(pk=2).username == "alyssa"


@pytest.mark.parametrize("offset", ["-1", str(MAX_ID)])
def test_an_impossible_offset_is_refused(tmp_path: Path, offset: str) -> None:
    file = tmp_path / "edges"
    file.write_text("1 2\n")
    with pytest.raises(CommandError, match=rf"--offset|{MAX_ID} is not a user id"):
        run("import_follows", str(file), f"--offset={offset}")
    assert not User.objects.exists()
