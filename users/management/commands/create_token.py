"""manage.py create_token."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from knox.models import AuthToken

from users.models import User


class Command(BaseCommand):
    help = "Make a token for a user and print it; it can't be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """USERNAME and --days."""
        parser.add_argument("username")
        parser.add_argument(
            "--days", type=int, default=settings.TWIT_TOKEN_DAYS, help="until it expires"
        )

    def handle(self, *args: Any, username: str, days: int, **options: Any) -> str:
        """The token."""
        try:
            user = User.objects.get(username=username)
        except User.DoesNotExist:
            raise CommandError(f"There is no user {username!r}.") from None
        if days < 1:
            raise CommandError("--days: a number from 1 up is needed.")
        instance, token = AuthToken.objects.create(user, expiry=timedelta(days=days))
        self.stderr.write(f"For {username}, until {instance.expiry:%Y-%m-%d %H:%M} UTC:")
        return str(token)
