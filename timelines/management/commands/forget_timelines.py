"""manage.py forget_timelines USER... | --all"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import Progress

from timelines.lists import store
from timelines.management.readers import add_readers, reader_ids


class Command(BaseCommand):
    help = (
        "Drop home timelines from Redis: those of the named users, or all with --all. Nothing is "
        "lost: the next read of each comes from Postgres and rebuilds it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_readers(parser, all_by_default=False)

    def handle(self, *, users: list[str], **options: Any) -> None:
        ids = reader_ids(users, everybody=options["all"])
        with Progress() as progress:
            for reader_id in progress.track(ids, description="Forgetting"):
                store.forget([reader_id])
        self.stdout.write(f"{len(ids):,} timelines forgotten")
