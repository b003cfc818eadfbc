"""manage.py deliver_pending"""

from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import Progress

from timelines import fanout
from timelines.fanout import Round
from timelines.models import FanOut


class Command(BaseCommand):
    """Work off the outbox by hand."""

    help = (
        "Deliver and retract what is pending, in this process, until nothing is due; then say "
        "what was done and what is left. Workers do the same all the time: this is for when none "
        "runs, or for waiting until an import has been delivered."
    )

    def handle(self, **options: Any) -> None:
        """Rounds until one finds nothing."""
        total = Round()
        with Progress() as progress:
            task = progress.add_task("Delivering", total=FanOut.objects.count())
            while (done := fanout.run_round()).claimed:
                total = total.plus(done)
                progress.update(task, advance=done.finished)
        left = FanOut.objects.count()
        failing = FanOut.objects.filter(attempts__gt=0).count()
        self.stdout.write(
            f"{total.finished:,} fan-outs done, {total.reached:,} lists reached; "
            f"{left:,} pending, {failing:,} of them failing"
        )
