from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand
from django.db.models import Count, Min, Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from timelines.models import FanOut


class Command(BaseCommand):
    help = (
        "Report the number of pending fan-outs, the age of the oldest, how many are failing, "
        "which workers answer, and how many wake-ups are queued. A backlog consists of rows in "
        "Postgres. It takes little memory in Redis, and workers reduce it once the load drops."
    )

    def handle(self, **options: Any) -> None:
        counts = FanOut.objects.aggregate(
            pending=Count("id"),
            failing=Count("id", filter=Q(attempts__gt=0)),
            oldest=Min("created_at"),
        )
        oldest = counts["oldest"]
        age = 0.0 if oldest is None else (timezone.now() - oldest).total_seconds()
        self.stdout.write(f"pending   {counts['pending']:,}")
        self.stdout.write(f"oldest    {age:.1f} s")
        self.stdout.write(f"failing   {counts['failing']:,}")
        try:
            answers = current_app.control.ping(timeout=1.0) or []
            with current_app.connection_for_read() as connection:
                queue = current_app.amqp.queues[current_app.conf.task_default_queue]
                declared: Any = queue(connection.default_channel).queue_declare()
                waiting = declared.message_count
        except OperationalError as error:
            self.stdout.write(f"broker    does not answer: {error}")
            return
        workers = sorted(name for answer in answers for name in answer)
        self.stdout.write(f"workers   {len(workers)}{': ' if workers else ''}{', '.join(workers)}")
        self.stdout.write(f"wake-ups  {waiting:,}")
