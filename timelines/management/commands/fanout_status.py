import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.utils import timezone

from api.commands import ServerCommand
from backends.postgres import binary_cursor
from backends.slots import SLOTS
from timelines.lists import admission
from timelines.models import FanOut, Flag
from timelines.status import broker_status


class Status(NamedTuple):
    """What is reported. The broker's part is None if the broker fails."""

    pending: int
    ranges: int
    oldest_seconds: float
    failing: int
    flags: int
    admitted_slots: int
    workers: list[str] | None = None
    wake_ups: int | None = None

    def lines(self) -> Iterator[str]:
        yield f"pending   {self.pending:,}"
        yield f"ranges    {self.ranges:,}"
        yield f"oldest    {self.oldest_seconds:.1f} s"
        yield f"failing   {self.failing:,}"
        yield f"flags     {self.flags:,}"
        yield f"admitted  {self.admitted_slots:,} of {SLOTS:,} slots"
        if self.workers is not None:
            yield f"workers   {': '.join(filter(None, (f'{len(self.workers)}', self._names)))}"
        if self.wake_ups is not None:
            yield f"wake-ups  {self.wake_ups:,}"

    @property
    def _names(self) -> str:
        return ", ".join(self.workers or [])


class Command(ServerCommand):
    help = (
        "Report the number of pending fan-outs, the age of the oldest, how many are failing, "
        "which workers answer, and how many wake-ups are queued. 'Ranges' counts the parts of long "
        "fan-outs, which workers share. 'Flags' counts the slow deliveries whose tweets pages "
        "already show, about 200 at most. 'Admitted' counts the slots whose lists an admitted "
        "server holds; pages of other slots come from Postgres. Without a cluster, one server has "
        "all slots. If the broker fails, the rest is reported, and the exit code is 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        """Print the status. Raises kombu's OperationalError."""
        status = stored_status()
        try:
            workers, wake_ups = broker_status()
            status = status._replace(workers=workers, wake_ups=wake_ups)
        finally:
            text = json.dumps(status._asdict()) if options["json"] else "\n".join(status.lines())
            self.stdout.write(text)


def stored_status() -> Status:
    """Return what Postgres says."""
    backlog = FanOut.objects.backlog()
    age = timezone.now() - backlog.oldest if backlog.oldest else None
    with binary_cursor() as cursor:
        ranges = [admitted.slots for admitted in admission.current(cursor)]
    return Status(
        pending=backlog.pending,
        ranges=backlog.ranges,
        oldest_seconds=age.total_seconds() if age else 0.0,
        failing=backlog.failing,
        flags=Flag.objects.filter(done_at=None).count(),
        admitted_slots=sum(last + 1 - first for first, last in ranges),
    )
