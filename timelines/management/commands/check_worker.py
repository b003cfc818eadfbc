from typing import Any

from django.core.management.base import CommandError

from api.commands import ServerCommand
from api.health import Failed
from timelines import health


class Command(ServerCommand):
    help = (
        "Exit with code 1 unless a worker on this host has looked for work within 30 s. A "
        "supervisor can run this regularly, and restart the workers if it fails. It asks only "
        "Postgres."
    )
    requires_system_checks = ()  # one of them waits for Redis

    def handle(self, **options: Any) -> str:
        """Return what was found, which Django prints. Raises CommandError."""
        try:
            return health.sweep_here()
        except Failed as problem:
            raise CommandError(str(problem)) from None
