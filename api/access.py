"""Who may do what: the one place that knows whether the API is open or requires tokens."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import is_same_domain
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

BY_ANOTHER_SITE = (
    "A web page of another site sent this. An open API accepts it only from sites in "
    "TWIT_CORS_ORIGINS or CSRF_TRUSTED_ORIGINS."
)
log = logging.getLogger("twit.access")


def is_open() -> bool:
    """Return whether anybody may act as anybody. Read for each request, never at import."""
    return bool(settings.TWIT_OPEN_API)


def may_be_known(request: Request) -> bool:
    """Return whether the API is open, or the request has a token or a session to check."""
    found = request.META
    return is_open() or bool(found.get("HTTP_AUTHORIZATION") or found.get("HTTP_COOKIE"))


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
    """Return whether TWIT_CORS_ORIGINS or CSRF_TRUSTED_ORIGINS has the origin.

    CSRF_TRUSTED_ORIGINS may name all subdomains: https://*.twit.example
    """
    if origin in settings.CORS_ALLOWED_ORIGINS:
        return True
    scheme, _, host = origin.partition("://")
    trusted = [known.partition("://") for known in settings.CSRF_TRUSTED_ORIGINS]
    return any(known == scheme and is_same_domain(host, at.lstrip("*")) for known, _, at in trusted)


@cache
def made(*classes: type) -> list[Any]:
    """Return an instance of each class, always the same."""
    return [each() for each in classes]


class Guarded:
    """A mixin for views: an open API neither authenticates requests nor checks permissions.

    The response to a request that changes nothing may be made while checks are under way. `checks`
    has functions that wait for their outcome, and raise an APIException if it must not be sent.
    """

    authentication_classes: Any
    permission_classes: Any
    throttle_classes: Any
    parser_classes: Any
    answers_at_once = False  # whether all checks must end before the response is made

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checks: list[Callable[[], None]] = []

    @property
    def checks_at_end(self) -> bool:
        """Whether checks of this request may end after its response is made."""
        request: Request = self.request  # type: ignore[attr-defined]
        return request.method in SAFE_METHODS and not self.answers_at_once

    def confirms(self, user_id: int) -> bool:
        """Return whether a statement of this request finds out if that user's token is valid."""
        return False

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the response once all checks have ended, or the error of the first that fails."""
        try:
            for check in self.checks:
                check()
        except Exception as error:  # noqa: BLE001 (`handle_exception` raises what it does not know)
            response = self.handle_exception(error)  # type: ignore[attr-defined]
        return super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]

    # DRF would create these for each request. They have no state.

    def get_authenticators(self) -> list[Any]:
        return [] if is_open() else made(*self.authentication_classes)

    def get_permissions(self) -> list[Any]:
        return [] if is_open() else made(*self.permission_classes)

    def get_throttles(self) -> list[Any]:
        return made(*self.throttle_classes)

    def get_parsers(self) -> list[Any]:
        return made(*self.parser_classes)


def not_allowed(user_id: int, what: str, permission: str) -> PermissionDenied:
    """Return the 403 for a request that acts for that user."""
    return PermissionDenied(
        f"Only user {user_id} and users with the permission {permission} may {what}."
    )


def acts_for(user: Any, user_id: int, permission: str) -> bool:
    """Return whether the API is open, or the user may act for the one with that id."""
    return is_open() or user.pk == user_id or user.has_perm(permission)


def check_acts_for(request: Request, user_id: int, what: str, permission: str) -> None:
    """Raise PermissionDenied unless the API is open or the request is by that user.

    Others need Django's permission, such as "tweets.add_tweet", and each use of it is logged.
    """
    if not acts_for(request.user, user_id, permission):
        raise not_allowed(user_id, what, permission)
    if not is_open():
        record_use(request.user, user_id, what, permission)


def record_use(user: Any, user_id: int, what: str, permission: str) -> None:
    """Log that the user acts for another one."""
    if user.pk != user_id:
        log.info("User %s acts for user %s (%s): %s", user.pk, user_id, permission, what)
