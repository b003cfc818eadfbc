"""Who may act for whom."""

from django.conf import settings
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request


def check_acts_for(request: Request, user_id: int, what: str) -> None:
    """Raise PermissionDenied unless the request is by that user or by staff, or the API is open.

    `what` completes "Only ... and staff may".
    """
    if settings.TWIT_OPEN_API:
        return
    if request.user.pk != user_id and not request.user.is_staff:
        raise PermissionDenied(f"Only user {user_id} and staff may {what}.")
