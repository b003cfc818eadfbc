from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from api.commands import ServerCommand
from users import tokens
from users.models import User


class Command(ServerCommand):
    help = "Create a token for a user and print it. It can't be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--days",
            type=int,
            default=settings.REST_KNOX["TOKEN_TTL"].days,
            help="days until it expires",
        )

    def handle(self, *args: Any, username: str, days: int, **options: Any) -> str:
        """Return the token, which Django prints. Raises CommandError."""
        try:
            user = User.objects.get(username=username)
        except User.DoesNotExist:
            raise CommandError(f"There is no user {username!r}.") from None
        if days < 1:
            raise CommandError("--days: at least 1 is needed.")
        instance, token = tokens.issue(user, timedelta(days=days))
        self.stderr.write(f"For {username}, until {instance.expiry:%Y-%m-%d %H:%M} UTC:")
        return token
