"""manage.py rebuild_timelines USER... | --all"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import Progress

from timelines import rebuild
from timelines.management.readers import add_readers, reader_ids


class Command(BaseCommand):
    """Compute home timelines anew."""

    help = (
        "Compute home timelines anew from Postgres and store them: those of the users named, "
        "materialised or not, or with --all every one that is materialised. Readers are served "
        "from Postgres meanwhile. It is never needed: the next read rebuilds what must be."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """USER... or --all."""
        add_readers(parser, all_by_default=False)

    def handle(self, *, users: list[str], **options: Any) -> None:
        """Rebuild them and say how many."""
        ids = reader_ids(users, everybody=options["all"])
        with Progress() as progress:
            rebuilt = sum(
                rebuild.rebuild(reader_id)
                for reader_id in progress.track(ids, description="Rebuilding")
            )
        busy = f"; {len(ids) - rebuilt:,} were being rebuilt already" if rebuilt < len(ids) else ""
        self.stdout.write(f"{rebuilt:,} timelines rebuilt{busy}")
