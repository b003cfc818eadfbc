from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from rich.progress import Progress

from api.commands import ServerCommand
from tweets import generating
from tweets.models import Tweet
from users import apart, graph
from users.models import User


class Command(ServerCommand):
    help = (
        "Generate a follow graph and load it: users with the ids 1 to --users, whose numbers of "
        "followers follow a power law, as Twitter's do. The same seed generates the same graph, "
        "and loading it twice changes nothing. Then generate tweets by all users until there are "
        "--tweets in all; a tenth of the users write 80% of them. Follows and tweets are stored in "
        "pieces, so that the service keeps running. If that is interrupted, run the same command "
        "again to store the rest. With --users 0 --mean-follows 0 it generates only tweets."
    )

    unfinished = graph.INCOMPLETE

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--users", type=int, default=10_000, help="number of users (default 10,000)")
        add("--mean-follows", type=float, default=30.0, help="follows per user (default 30)")
        add("--tweets", type=int, default=0, help="number of tweets in all (default 0)")
        add("--seed", type=int, default=1, help="seed of the random numbers (default 1)")
        apart.add_arguments(parser)

    def handle(
        self,
        *,
        users: int,
        mean_follows: float,
        tweets: int,
        seed: int,
        offset: int,
        merge: bool,
        **options: Any,
    ) -> None:
        """Generate and load the graph and the tweets. Raises CommandError for bad numbers."""
        for name, number in (("users", users), ("tweets", tweets), ("offset", offset)):
            if number < 0:
                raise CommandError(f"--{name}: {number} is below 0")
        if not 0 <= mean_follows <= users / 4:
            raise CommandError(f"--mean-follows: from 0 to a quarter of the users ({users / 4:g})")
        try:
            with Progress() as progress:
                edges = graph.power_law_edges(users, mean_follows, seed)
                loaded = graph.load(
                    progress.track(edges, total=users * mean_follows, description="Follows"),
                    users_up_to=users,
                    offset=offset,
                    merges=merge,
                )
                posted = post_tweets(progress, tweets, seed)
        except (graph.NameTaken, apart.IdsDontFit) as error:
            raise CommandError(f"{error}; nothing was stored") from error
        self.stdout.write(
            f"{loaded.users:,} new users, {loaded.follows:,} new follows, {posted:,} new tweets."
        )


def post_tweets(progress: Progress, total: int, seed: int) -> int:
    """Store tweets until there are `total`, and return how many are new. Raises CommandError."""
    stored = Tweet.objects.count()
    if stored >= total:
        return 0
    authors = list(User.objects.order_by("pk").values_list("pk", flat=True))
    if not authors:
        raise CommandError("--tweets: there are no users to write them")
    tweets = generating.missing_tweets(generating.random_tweets(authors, seed), stored, total)
    return generating.store(progress.track(tweets, total=total - stored, description="Tweets"))
