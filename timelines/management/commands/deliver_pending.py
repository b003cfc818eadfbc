from typing import Any

from rich.progress import Progress

from api.commands import ServerCommand
from timelines.delivery import admitting, flags
from timelines.delivery.rounds import run_round
from timelines.models import FanOut


class Command(ServerCommand):
    help = (
        "Deliver and retract pending tweets in this process until no fan-out is due, then report "
        "what was done and what is left. Workers do this all the time. Use the command when no "
        "worker runs, or to wait until an import has been delivered. A fan-out to many followers "
        "is divided into ranges of followers, and each range counts as a part."
    )

    def handle(self, **options: Any) -> None:
        admitting.sweep()
        finished = reached = 0
        with Progress() as progress:
            task = progress.add_task("Delivering", total=FanOut.objects.count())
            while (done := run_round()).claimed:
                finished, reached = finished + done.finished, reached + done.reached
                progress.update(task, completed=finished)
        flags.sweep()
        backlog = FanOut.objects.backlog()
        self.stdout.write(
            f"{finished:,} parts of fan-outs done, {reached:,} lists reached; "
            f"{backlog.pending:,} pending, {backlog.failing:,} of them failing"
        )
