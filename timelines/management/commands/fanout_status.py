from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand
from django.utils import timezone
from kombu.exceptions import OperationalError

from timelines.models import FanOut, Flag


class Command(BaseCommand):
    help = (
        "Report the number of pending fan-outs, the age of the oldest, how many are failing, "
        "which workers answer, and how many wake-ups are queued. A backlog consists of rows in "
        "Postgres. It takes little memory in Redis, and workers reduce it once the load drops. "
        "'Ranges' counts the parts of long fan-outs, which workers share. 'Flags' counts the "
        "slow deliveries: pages already show their tweets, whether or not the delivery "
        "has reached the reader. At most about 200 are flagged at the same time."
    )

    def handle(self, **options: Any) -> None:
        backlog = FanOut.objects.backlog()
        age = 0.0
        if backlog.oldest:
            age = (timezone.now() - backlog.oldest).total_seconds()
        self.stdout.write(f"pending   {backlog.pending:,}")
        self.stdout.write(f"ranges    {backlog.ranges:,}")
        self.stdout.write(f"oldest    {age:.1f} s")
        self.stdout.write(f"failing   {backlog.failing:,}")
        self.stdout.write(f"flags     {Flag.objects.filter(done_at=None).count():,}")
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
