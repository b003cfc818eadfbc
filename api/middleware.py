"""Middleware for every response, beside Django's own."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers, set_response_etag
from rest_framework.permissions import SAFE_METHODS

from api import access
from api.headers import RATE_LIMIT_HEADERS
from api.paths import FOR_PROGRAMS

# Fits Swagger UI, the browsable API and the admin. They have inline styles, but no inline scripts.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

CONDITIONS = {
    f"HTTP_IF_{condition}"
    for condition in ("MATCH", "NONE_MATCH", "MODIFIED_SINCE", "UNMODIFIED_SINCE")
}
Handler = Callable[[HttpRequest], HttpResponseBase]


def content_security(get_response: Handler) -> Handler:
    """Add a Content-Security-Policy to every page that has none of its own."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response

    return handle


def private(get_response: Handler) -> Handler:
    """Keep responses out of shared caches. A client's own cache must ask before it uses one."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        patch_vary_headers(response, ["Authorization", "Cookie"])
        return response

    return handle


def conditional(get_response: Handler) -> Handler:
    """Add ETags and answer 304, as Django's ConditionalGetMiddleware does, but for HEAD too."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method not in ("GET", "HEAD") or response.status_code != HTTPStatus.OK:
            return response
        if not isinstance(response, HttpResponse):  # a streamed file
            return response
        if "no-store" in response.headers.get("Cache-Control", ""):
            return response
        set_response_etag(response)
        if not CONDITIONS & request.META.keys():
            return response
        known = get_conditional_response(request, etag=response["ETag"], response=response)
        if known is None or known.status_code != HTTPStatus.NOT_MODIFIED:
            return response
        for name in response.headers:
            if name == "Link" or name in RATE_LIMIT_HEADERS:
                known[name] = response[name]
        return known

    return handle


def session_keys(get_response: Handler) -> Handler:
    """Drop session cookies that can't be valid. Postgres would fail on a key with a NUL."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if key is not None and not (key.isascii() and key.isalnum()):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        return get_response(request)

    return handle


def whole_forms(get_response: Handler) -> Handler:
    """Reject multipart forms without their closing boundary. Django would accept a part."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        if (request.content_type or "").startswith("multipart/"):
            boundary = (request.content_params or {}).get("boundary")
            if boundary and request.body and f"--{boundary}--".encode() not in request.body:
                detail = f"The form is cut off: it does not end with --{boundary}--."
                return JsonResponse({"detail": detail}, status=400)
        return get_response(request)

    return handle


def same_origin(get_response: Handler) -> Handler:
    """Refuse to change anything in an open API for a web page of another site.

    With tokens this is not needed: such a page has no token, and a session needs a CSRF token.
    """

    def handle(request: HttpRequest) -> HttpResponseBase:
        is_unsafe = request.method not in SAFE_METHODS
        if is_unsafe and access.is_open() and access.is_by_another_site(request):
            return JsonResponse({"detail": access.BY_ANOTHER_SITE}, status=403)
        return get_response(request)

    return handle


def is_by_a_program(request: HttpRequest) -> bool:
    """Return whether the request is for the API, by a client that shows no page and has no session.

    A browser sends a cookie, or accepts HTML.
    """
    found = request.META
    return (
        request.path_info.startswith(FOR_PROGRAMS)
        and not found.get("HTTP_COOKIE")
        and "text/html" not in found.get("HTTP_ACCEPT", "")
    )


_ends: list[Handler] = []  # Django builds the middleware from the inside out


def end_of_shortcut(get_response: Handler) -> Handler:
    """Mark where the shortcut ends."""
    _ends.append(get_response)
    return get_response


def shortcut(get_response: Handler) -> Handler:
    """Spare requests by programs the middleware from here to the end of the shortcut.

    The skipped middleware serves browsers, with sessions for example. An empty view takes a fifth
    less time without it.
    """
    end = _ends.pop()

    def handle(request: HttpRequest) -> HttpResponseBase:
        return (end if is_by_a_program(request) else get_response)(request)

    return handle
