from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.progress import Progress

from users import graph


class Command(BaseCommand):
    help = (
        "Generate a follow graph and load it: users with the ids 1 to --users, whose numbers of "
        "followers have a power law, as Twitter's do. The same seed generates the same graph, and "
        "loading it twice changes nothing. The follows are stored in pieces, so that the service "
        "goes on. If that is interrupted, some pieces are stored; the same command completes them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--users", type=int, default=10_000, help="number of users (default 10,000)")
        add("--mean-follows", type=float, default=30.0, help="follows per user (default 30)")
        add("--seed", type=int, default=1, help="seed of the random numbers (default 1)")

    def handle(self, *, users: int, mean_follows: float, seed: int, **options: Any) -> None:
        """Generate and load the graph. Raises CommandError for impossible numbers."""
        if users < 1:
            raise CommandError("--users: at least 1 is needed")
        if not 0 <= mean_follows <= users / 4:
            raise CommandError(f"--mean-follows: from 0 to a quarter of the users ({users / 4:g})")
        edges = graph.power_law_edges(users, mean_follows, seed)
        with Progress() as progress:
            tracked = progress.track(edges, total=users * mean_follows, description="Generating")
            try:
                loaded = graph.load(tracked, users_up_to=users)
            except graph.NameTaken as error:
                raise CommandError(f"{error}; nothing was stored") from error
            except DatabaseError as error:
                raise CommandError(f"{error}; {graph.INCOMPLETE}") from error
        self.stdout.write(f"{loaded.users:,} new users, {loaded.follows:,} new follows.")
