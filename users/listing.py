"""Users as the API shows them, and pages of them."""

from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet

from api.errors import no_such
from api.paging import Page, Window
from users.models import Follow, User


class DisplayedUser(NamedTuple):
    """A user with everything that the API shows of it."""

    id: int
    username: str
    created_at: datetime


_FIELDS = ("id", "username", "date_joined")


def displayed(user_id: int) -> DisplayedUser | None:
    """Return one user, or None if there is none with that id."""
    row = User.objects.filter(pk=user_id).values_list(*_FIELDS).first()
    return DisplayedUser(*row) if row else None


def all_users(window: Window) -> Page[DisplayedUser]:
    """Return the newest users within the window."""
    return _page(window.select(User.objects.all()), window)


def named(username: str, window: Window) -> Page[DisplayedUser]:
    """Return the user of that exact name, if it is within the window."""
    return _page(window.select(User.objects.filter(username=username)), window)


def followed_by(user_id: int, window: Window) -> Page[DisplayedUser]:
    """Return the newest users within the window whom a user follows. Raises NotFound."""
    return _of_follows(user_id, Follow.objects.filter(follower=user_id), "followed_id", window)


def followers_of(user_id: int, window: Window) -> Page[DisplayedUser]:
    """Return the newest users within the window who follow a user. Raises NotFound."""
    return _of_follows(user_id, Follow.objects.filter(followed=user_id), "follower_id", window)


def _of_follows(
    user_id: int, follows: QuerySet[Follow], column: str, window: Window
) -> Page[DisplayedUser]:
    """Return the page of the users in that column.

    The ids come from a subquery with a LIMIT of its own. For a join, Postgres sometimes chooses a
    merge join that reads all users above the page, because it bounds one side only.
    """
    ids = window.select(follows, column).values(column)
    page = _page(User.objects.filter(pk__in=ids).order_by("-id"), window)
    if not page.items and not User.objects.filter(pk=user_id).exists():
        raise no_such("user", user_id)
    return page


def _page(users: QuerySet[User], window: Window) -> Page[DisplayedUser]:
    rows = users.values_list(*_FIELDS)
    return window.page([DisplayedUser._make(row) for row in rows])
