"""manage.py rebuild_timelines USER... | --all"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import Progress

from timelines.management.readers import add_readers, reader_ids
from timelines.reading.rebuild import rebuild


class Command(BaseCommand):
    help = (
        "Rebuild home timelines from Postgres: those of the named users, or with --all those of "
        "all users who have a list in Redis. Meanwhile readers are served from Postgres. You never "
        "need this command for correctness: a read rebuilds every list that must not be used."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_readers(parser, all_by_default=False)

    def handle(self, *, users: list[str], **options: Any) -> None:
        ids = reader_ids(users, everybody=options["all"])
        with Progress() as progress:
            rebuilt = sum(
                rebuild(reader_id).is_stored
                for reader_id in progress.track(ids, description="Rebuilding")
            )
        busy = f"; {len(ids) - rebuilt:,} were being rebuilt already" if rebuilt < len(ids) else ""
        self.stdout.write(f"{rebuilt:,} timelines rebuilt{busy}")
