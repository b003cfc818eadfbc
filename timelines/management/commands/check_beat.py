from typing import Any

from django.core.management.base import CommandError

from api.commands import ServerCommand
from api.health import Failed
from timelines import health


class Command(ServerCommand):
    help = (
        "Exit with code 1 unless a worker has taken a heartbeat of the scheduler within 3 minutes. "
        "The scheduler sends one a minute, the first a minute after it starts. The heartbeat goes "
        "through the broker to a worker, so this also fails if the scheduler's connection is stuck."
    )
    requires_system_checks = ()  # one of them waits for Redis

    def handle(self, **options: Any) -> str:
        """Return what was found, which Django prints. Raises CommandError."""
        try:
            return health.heartbeat()
        except Failed as problem:
            raise CommandError(str(problem)) from None
