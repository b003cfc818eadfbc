"""The readers that a command is about."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from timelines.lists import store
from users.models import User


def add_readers(parser: ArgumentParser, *, all_by_default: bool) -> None:
    """Add USER..., and --all unless naming no user means all."""
    parser.add_argument("users", nargs="*", metavar="USER", help="a username, or a user's id")
    if not all_by_default:
        parser.add_argument("--all", action="store_true", help="every user who has a list in Redis")


def reader_ids(users: list[str], *, everybody: bool) -> list[int]:
    """Return the ids of the named users, or of all who have a list. Raises CommandError."""
    if bool(users) == everybody:
        raise CommandError("name some users, or use --all")
    return sorted(set(store.materialised())) if everybody else [_find(name) for name in users]


def _find(name: str) -> int:
    found = User.objects.filter(username=name).values_list("id", flat=True).first()
    if found is None and name.isascii() and name.isdigit():
        found = User.objects.filter(pk=int(name)).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"there is no user {name!r}")
    return found
