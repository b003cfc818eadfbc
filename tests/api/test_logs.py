"""How log lines look."""

import logging
import sys

import pytest

from api import logs
from api.logs import Cause, TextFormatter


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("twit", logging.INFO, "", 1, message, arguments, None)


@pytest.mark.parametrize("char", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u202e"])
def test_control_characters_are_escaped(char: str) -> None:
    line = TextFormatter().format(record("Failed login as %s", f"ben{char}INFO"))
    assert line.isprintable()
    assert line.endswith(
        f"INFO twit: Failed login as ben{char.encode('unicode_escape').decode()}INFO"
    )


def test_a_lone_surrogate_can_be_written() -> None:
    assert TextFormatter().format(record("\ud800 é")).endswith("twit: \\ud800 é")


def test_a_long_line_is_cut_before_docker_or_journald_would_break_it() -> None:
    forged = "2026-01-01 00:00:00,000 INFO twit: forged"
    line = TextFormatter().format(record("Not Found: /%s%s", "\0" * 10_000, forged))
    assert len(line) < 5_000
    assert line.endswith(" (cut)") and forged not in line


def test_no_line_of_a_traceback_looks_like_an_event() -> None:
    found = record("It failed")
    try:
        int("bad\r2026-01-01 00:00:00,000 INFO twit: forged\n2026-01-01")
    except ValueError as error:
        found.exc_info = sys.exc_info()
        error.add_note("2026-01-01 00:00:00,000 INFO twit: forged")
    first, *others = TextFormatter().format(found).split("\n")
    assert first.endswith("INFO twit: It failed")
    assert "ValueError: invalid literal" in "".join(others)
    assert all(line.startswith("  ") and line.isprintable() for line in others)


def test_a_line_names_its_request_and_user() -> None:
    found = record("hello")
    token = logs.cause.set(Cause("an-id"))
    logs.name_user(3)
    logs.NameCause().filter(found)
    logs.cause.reset(token)
    assert TextFormatter().format(found).endswith("INFO twit request=an-id user=3: hello")
