"""What every answer goes through, beside Django's own middleware."""

from collections.abc import Callable
from http import HTTPStatus

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
        etag = response["ETag"]
        return get_conditional_response(request, etag=etag, response=response) or response

    return handle


def bounded(get_response: Handler) -> Handler:
    """413 for bodies that no endpoint needs; the admin's forms have Django's own bounds."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH")
        if length and int(length) > MAX_BODY_BYTES and not request.path.startswith("/admin/"):
            detail = f"The body has {length} bytes; at most {MAX_BODY_BYTES:,} are taken."
            return JsonResponse({"detail": detail}, status=413)
        return get_response(request)

    return handle
