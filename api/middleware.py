"""Middleware for every response, beside Django's own."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, set_response_etag

# The longest message or password takes 12 kB, in JSON or as a form.
MAX_BODY_BYTES = 64 * 1024

Handler = Callable[[HttpRequest], HttpResponseBase]


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


def bounded(get_response: Handler) -> Handler:
    """Reject bodies that are larger than any endpoint needs, and those without a length."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH", "")
        if not length and "HTTP_TRANSFER_ENCODING" in request.META:
            return JsonResponse({"detail": "A Content-Length is needed."}, status=411)
        is_form = request.path.startswith("/admin/")
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE if is_form else MAX_BODY_BYTES
        if length.isdecimal() and int(length) > most:
            detail = f"The body has {length} bytes; the maximum is {most:,}."
            return JsonResponse({"detail": detail}, status=413)
        return get_response(request)

    return handle
