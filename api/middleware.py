"""Middleware for every response, beside Django's own."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers, set_response_etag
from rest_framework.permissions import SAFE_METHODS

from api import access

# Fits Swagger UI, the browsable API and the admin. They have inline styles, but no inline scripts.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

Handler = Callable[[HttpRequest], HttpResponseBase]


def content_security(get_response: Handler) -> Handler:
    """Add a Content-Security-Policy to every page."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
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
    """Add ETags and answer 304: Django's ConditionalGetMiddleware, for HEAD too."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method not in ("GET", "HEAD") or response.status_code != HTTPStatus.OK:
            return response
        if not isinstance(response, HttpResponse):  # a streamed file
            return response
        set_response_etag(response)
        known = get_conditional_response(request, etag=response["ETag"], response=response)
        if known is None or known.status_code != HTTPStatus.NOT_MODIFIED:
            return response
        for name in response.headers:
            if name.startswith("X-RateLimit"):
                known[name] = response[name]
        return known

    return handle


def session_keys(get_response: Handler) -> Handler:
    """Drop session cookies that no session has. Postgres would fail on a key with a NUL in it."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if key is not None and not (key.isascii() and key.isalnum()):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        return get_response(request)

    return handle


def whole_forms(get_response: Handler) -> Handler:
    """Reject multipart forms that lack their closing boundary. Django would take what there is."""

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

    With tokens there is no need: such a page has no token, and a session needs a CSRF token too.
    """

    def handle(request: HttpRequest) -> HttpResponseBase:
        is_unsafe = request.method not in SAFE_METHODS
        if is_unsafe and access.is_open() and access.is_by_another_site(request):
            detail = (
                "A web page of another site sent this. An open API accepts it only from sites "
                "in CSRF_TRUSTED_ORIGINS."
            )
            return JsonResponse({"detail": detail}, status=403)
        return get_response(request)

    return handle
