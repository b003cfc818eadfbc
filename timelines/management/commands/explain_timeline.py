from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError

from api.commands import ServerCommand
from api.fields import parse_id
from timelines.explaining.explanation import explain
from timelines.explaining.words import NOT_AN_ID, Fact
from timelines.management.readers import find_id
from users.models import User


class Command(ServerCommand):
    help = (
        "Explain a user's home timeline: whether the list in Redis is there and believed, and "
        "where each of its newest entries is shown, or why it is not. With the id of a tweet, "
        "explain whether the user's pages show it, on which page (of 20 tweets), and how far its "
        "delivery is. The command changes nothing: it does not rebuild the list or renew its "
        "expiry. It also works while Redis is down."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", metavar="USER", help="a username, or a user's id")
        parser.add_argument("tweet", nargs="?", metavar="TWEET", help="the id of a tweet")

    def handle(self, *, user: str, tweet: str | None, **options: Any) -> None:
        """Print the explanation. Raises CommandError."""
        reader_id = find_id(user)
        tweet_id = None if tweet is None else parse_id(tweet)
        if tweet is not None and tweet_id is None:
            raise CommandError(NOT_AN_ID.format(tweet))
        try:
            found = explain(reader_id, tweet_id)
        except User.DoesNotExist:
            raise CommandError(f"there is no user {user!r}") from None
        self.stdout.write(f"{found.reader.username} (user {found.reader.pk}): {found.answer}")
        self._write("Tweet", found.tweet)
        self._write("List", found.listed)
        entries = [
            Fact(f"{place}", f"tweet {tweet_id} by user {author_id}. {text}")
            for place, tweet_id, author_id, text in found.entries
        ]
        self._write("Newest entries, by their places in the list", entries)

    def _write(self, title: str, facts: Sequence[Fact]) -> None:
        if facts:
            self.stdout.write(f"\n{title}")
        for name, text in facts:
            self.stdout.write(f"  {name:11}  {text}")
