"""Who may do what: the one place that tells an open API from one that asks for tokens."""

from typing import Any

from django.conf import settings
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request


def is_open() -> bool:
    """Return whether anybody may act as anybody. Read for each request, never at import."""
    return bool(settings.TWIT_OPEN_API)


class Guarded:
    """A mixin for views: an open API neither authenticates requests nor checks permissions."""

    def get_authenticators(self) -> list[Any]:
        return [] if is_open() else super().get_authenticators()  # type: ignore[misc]

    def get_permissions(self) -> list[Any]:
        return [] if is_open() else super().get_permissions()  # type: ignore[misc]


def check_acts_for(request: Request, user_id: int, what: str) -> None:
    """Raise PermissionDenied unless the API is open or the request is by that user or staff."""
    if is_open():
        return
    if request.user.pk != user_id and not request.user.is_staff:
        raise PermissionDenied(f"Only user {user_id} and staff may {what}.")
