"""Which readers a command is about."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from timelines import store
from users.models import User


def add_readers(parser: ArgumentParser, *, all_by_default: bool) -> None:
    """Take USER..., and --all where it must be said."""
    parser.add_argument("users", nargs="*", metavar="USER", help="a username, or a user's id")
    if not all_by_default:
        parser.add_argument(
            "--all", action="store_true", help="every user whose timeline is materialised"
        )


def reader_ids(users: list[str], *, everybody: bool) -> list[int]:
    """The ids of the named users, or of all who have a list. Raises CommandError."""
    if bool(users) == everybody:
        raise CommandError("name some users, or say --all")
    return sorted(store.materialised()) if everybody else [_find(name) for name in users]


def _find(name: str) -> int:
    found = User.objects.filter(username=name).values_list("id", flat=True).first()
    if found is None and name.isascii() and name.isdigit():
        found = User.objects.filter(pk=int(name)).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"there is no user {name!r}")
    return found
