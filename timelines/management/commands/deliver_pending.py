from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import Progress

from timelines.delivery import flags
from timelines.delivery.rounds import run_round
from timelines.models import FanOut


class Command(BaseCommand):
    help = (
        "Deliver and retract pending tweets in this process until no fan-out is due, then report "
        "what was done and what is left. Workers do this all the time. Use the command when no "
        "worker runs, or to wait until an import has been delivered. A fan-out to many followers "
        "is divided into ranges of followers; each range counts as a part."
    )

    def handle(self, **options: Any) -> None:
        finished = reached = 0
        with Progress() as progress:
            task = progress.add_task("Delivering", total=None)
            while (done := run_round()).claimed:
                finished, reached = finished + done.finished, reached + done.reached
                left = FanOut.objects.count()
                progress.update(task, completed=finished, total=finished + left)
        flags.sweep()
        backlog = FanOut.objects.backlog()
        self.stdout.write(
            f"{finished:,} parts of fan-outs done, {reached:,} lists reached; "
            f"{backlog.pending:,} pending, {backlog.failing:,} of them failing"
        )
