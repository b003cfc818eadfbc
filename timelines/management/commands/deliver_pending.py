from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import Progress

from timelines.delivery.rounds import run_round
from timelines.models import FanOut


class Command(BaseCommand):
    help = (
        "Deliver and retract pending tweets in this process until no fan-out is due, then report "
        "what was done and what is left. Workers do this all the time. Use the command when no "
        "worker runs, or to wait until an import has been delivered."
    )

    def handle(self, **options: Any) -> None:
        finished = reached = 0
        with Progress() as progress:
            task = progress.add_task("Delivering", total=FanOut.objects.count())
            while (done := run_round()).claimed:
                finished, reached = finished + done.finished, reached + done.reached
                progress.update(task, advance=done.finished)
        left = FanOut.objects.count()
        failing = FanOut.objects.filter(attempts__gt=0).count()
        self.stdout.write(
            f"{finished:,} fan-outs done, {reached:,} lists reached; "
            f"{left:,} pending, {failing:,} of them failing"
        )
