"""`manage.py create_user`."""

import io
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from users.management.commands import create_user
from users.models import User

pytestmark = pytest.mark.django_db
SECRET = "a-long-secret-7"


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch) -> Any:
    """create(name, ..., reads="...") runs the command. It returns what that prints."""

    def run(*arguments: str, reads: str = "") -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(reads))
        printed = io.StringIO()
        call_command("create_user", *arguments, stdout=printed)
        return printed.getvalue()

    return run


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nmore\n"])
def test_the_password_is_the_first_line_of_standard_input(create: Any, end: str) -> None:
    printed = create("\uff45va", reads=SECRET + end)
    eva = User.objects.get(username="eva")
    assert printed == f"{eva.pk}\n"
    assert eva.check_password(SECRET)


def test_a_user_without_a_password_reads_nothing_and_cannot_log_in(create: Any) -> None:
    create("eva", "--no-password", reads=SECRET)
    assert not User.objects.get(username="eva").has_usable_password()


@pytest.mark.parametrize(
    ("name", "password", "problem"),
    [
        ("ben", SECRET, "username: A user with that username already exists."),
        ("\uff42en", SECRET, "username: A user with that username already exists."),
        ("a b", SECRET, "username: Enter a valid username."),
        ("", SECRET, "username: This field may not be blank."),
        ("\udcff", SECRET, "username: Surrogate characters are not allowed"),
        ("eva", "", "password: This field may not be blank."),
        ("eva", "short", "password: This password is too short."),
        ("evangeline", "evangeline", "password: The password is too similar to the username."),
        ("eva", "\udcff" * 9, "password: Surrogate characters are not allowed"),
    ],
)
def test_a_problem_is_named_and_nothing_is_stored(
    create: Any, ben: User, name: str, password: str, problem: str
) -> None:
    with pytest.raises(CommandError) as raised:
        create(name, reads=password)
    assert str(raised.value).startswith(problem)
    assert raised.value.returncode == 1
    assert User.objects.get() == ben


@pytest.mark.parametrize("second", [SECRET, "another"])
def test_a_terminals_user_types_the_password_twice(
    monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    typed = iter([SECRET, second])
    monkeypatch.setattr(create_user, "getpass", lambda *prompt: next(typed))
    monkeypatch.setattr(sys, "stdin", Terminal())
    if second == SECRET:
        assert create_user.read_password() == SECRET
    else:
        with pytest.raises(CommandError, match=r"The passwords differ\."):
            create_user.read_password()
