import sys
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rest_framework.exceptions import ValidationError

from api.commands import ServerCommand
from api.errors import body
from users import accounts
from users.serializers import NewUserSerializer


class Command(ServerCommand):
    help = "Create a user and print the id. Prompts for the password, or reads standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--no-password",
            action="store_true",
            help="create a user who can't log in; use create_token for their tokens",
        )

    def handle(self, *args: Any, username: str, no_password: bool, **options: Any) -> str:
        """Return the user's id, which Django prints. Raises CommandError."""
        data = {"username": username}
        if not no_password:
            data["password"] = read_password()
        serializer = NewUserSerializer(data=data, partial=no_password)
        try:
            serializer.is_valid(raise_exception=True)
            user = accounts.create(**serializer.validated_data)
        except ValidationError as problems:
            raise CommandError(body(problems)["detail"]) from None
        return str(user.pk)


def read_password() -> str:
    """Return the password: typed twice at a terminal, or the first line of another input.

    Raises CommandError if the two differ.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass()
    if getpass("Password (again): ") != password:
        raise CommandError("The passwords differ.")
    return password
