"""Who may do what: the one place that tells an open API from one that asks for tokens."""

import logging
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import is_same_domain
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

log = logging.getLogger("twit.access")


def is_open() -> bool:
    """Return whether anybody may act as anybody. Read for each request, never at import."""
    return bool(settings.TWIT_OPEN_API)


def is_by_another_site(request: HttpRequest) -> bool:
    """Return whether a web page of a site that is not trusted made a browser send the request.

    Browsers say so in two headers, which no page can change. Other clients send neither.
    """
    origin = request.headers.get("Origin")
    if origin is not None and _is_trusted(origin):
        return False
    is_foreign = origin not in (None, f"{request.scheme}://{request.get_host()}")
    # "same-site" is another port or subdomain; "none" is the user's own doing, such as a reload.
    return is_foreign or request.headers.get("Sec-Fetch-Site") not in (None, "same-origin", "none")


def _is_trusted(origin: str) -> bool:
    """Return whether CSRF_TRUSTED_ORIGINS has it, perhaps as a subdomain: https://*.twit.example"""
    scheme, _, host = origin.partition("://")
    trusted = [known.partition("://") for known in settings.CSRF_TRUSTED_ORIGINS]
    return any(known == scheme and is_same_domain(host, at.lstrip("*")) for known, _, at in trusted)


class Guarded:
    """A mixin for views: an open API neither authenticates requests nor checks permissions."""

    def get_authenticators(self) -> list[Any]:
        return [] if is_open() else super().get_authenticators()  # type: ignore[misc]

    def get_permissions(self) -> list[Any]:
        return [] if is_open() else super().get_permissions()  # type: ignore[misc]


def check_acts_for(request: Request, user_id: int, what: str, permission: str) -> None:
    """Raise PermissionDenied unless the API is open or the request is by that user.

    Others need Django's permission, such as "tweets.add_tweet", and each use of it is logged.
    """
    if is_open() or request.user.pk == user_id:
        return
    if not request.user.has_perm(permission):
        raise PermissionDenied(
            f"Only user {user_id} and users with the permission {permission} may {what}."
        )
    log.info("User %s acts for user %s (%s): %s", request.user.pk, user_id, permission, what)
