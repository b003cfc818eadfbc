"""Commands about some or all home timelines."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from rich.progress import Progress

from api.commands import ServerCommand
from api.fields import parse_id
from timelines.lists import upkeep
from users.models import User


def reader_ids(users: list[str], *, everybody: bool) -> list[int]:
    """Return the ids of the named users, or of all who have a list. Raises CommandError."""
    if bool(users) == everybody:
        raise CommandError("name some users, or use --all")
    return sorted(set(upkeep.materialised())) if everybody else [find_id(name) for name in users]


def find_id(name: str) -> int:
    """Return the id of the user with that name or id. Raises CommandError."""
    if not name.isprintable():  # neither NUL nor surrogates reach Postgres
        raise CommandError(f"there is no user {name!r}")
    found = User.objects.filter(username=name).values_list("id", flat=True).first()
    if found is None and (user_id := parse_id(name)):
        found = User.objects.filter(pk=user_id).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"there is no user {name!r}")
    return found


class ReadersCommand(ServerCommand):
    """A command that does something to each chosen reader's home timeline."""

    title: str  # of the progress bar
    done: str  # printed at the end, after the number of readers
    skipped: str = ""  # printed after the number of readers that were skipped, if there are any

    def act(self, reader_id: int) -> bool:
        """Act on one reader's timeline. Return False if the reader was skipped."""
        raise NotImplementedError

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("users", nargs="*", metavar="USER", help="a username, or a user's id")
        parser.add_argument("--all", action="store_true", help="every user who has a list in Redis")

    def handle(self, *, users: list[str], **options: Any) -> None:
        ids = reader_ids(users, everybody=options["all"])
        with Progress() as progress:
            count = sum(map(self.act, progress.track(ids, description=self.title)))
        skipped = f"; {len(ids) - count:,} {self.skipped}" if count < len(ids) else ""
        self.stdout.write(f"{count:,} {self.done}{skipped}")
