"""What every answer goes through, beside Django's own middleware."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, set_response_etag

# The longest message or password takes 12 kB, as JSON and forms may write them.
MAX_BODY_BYTES = 64 * 1024

Handler = Callable[[HttpRequest], HttpResponseBase]


def conditional(get_response: Handler) -> Handler:
    """ETags, and 304 to those who have it: Django's ConditionalGetMiddleware, for HEAD too."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method not in ("GET", "HEAD") or response.status_code != HTTPStatus.OK:
            return response
        if not isinstance(response, HttpResponse):  # a file, which is streamed
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
    """413 for bodies that no endpoint needs, 411 for those that don't tell their length."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH", "")
        if not length and "HTTP_TRANSFER_ENCODING" in request.META:
            return JsonResponse({"detail": "A Content-Length is needed."}, status=411)
        is_form = request.path.startswith("/admin/")
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE if is_form else MAX_BODY_BYTES
        if length.isdecimal() and int(length) > most:
            detail = f"The body has {length} bytes; at most {most:,} are taken."
            return JsonResponse({"detail": detail}, status=413)
        return get_response(request)

    return handle
