"""Who may do what: the one place that tells an open API from one that asks for tokens."""

from typing import TYPE_CHECKING, cast

from django.conf import settings
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

if TYPE_CHECKING:  # DRF's views import this module through api.limits
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.permissions import BasePermission
    from rest_framework.views import APIView as Base
else:
    Base = object


def is_open() -> bool:
    """Return whether anybody may act as anybody. Read for each request, never at import."""
    return bool(settings.TWIT_OPEN_API)


class Guarded(Base):
    """A mixin for views: an open API neither authenticates requests nor checks permissions."""

    def get_authenticators(self) -> "list[BaseAuthentication]":
        return [] if is_open() else super().get_authenticators()

    def get_permissions(self) -> "list[BasePermission]":
        return [] if is_open() else cast("list[BasePermission]", super().get_permissions())


def check_acts_for(request: Request, user_id: int, what: str) -> None:
    """Raise PermissionDenied unless the request comes from that user or staff, or the API is open.

    `what` completes the sentence "Only user 3 and staff may ...".
    """
    if is_open():
        return
    if request.user.pk != user_id and not request.user.is_staff:
        raise PermissionDenied(f"Only user {user_id} and staff may {what}.")
