"""Every error of the API, in one shape: {"detail": "...", <name>: ["...", ...], ...}.

`detail` is a sentence for people. Each part of the request that is to blame, field, parameter or
header, has its problems under its own name.
"""

from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

RETRY_AFTER_SECONDS = 1


def api_error(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's answer to an error in a view; 503 while Postgres is away or gives up on a request.

    That is JSON for browsers too: a page would ask Postgres who is signed in.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return JsonResponse(
            {"detail": "The database is not available. Please try again."},
            status=503,
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    response = exception_handler(error, context)
    if response is not None:
        response.data = shaped(response.data)
    return response


def shaped(data: Any) -> dict[str, Any]:
    """DRF's own form of an error, with a `detail` in any case."""
    if isinstance(data, list):  # of problems that no field is to blame for
        data = {api_settings.NON_FIELD_ERRORS_KEY: data}
    if "detail" in data:
        return {"detail": data["detail"]}
    general = [str(problem) for problem in data.pop(api_settings.NON_FIELD_ERRORS_KEY, [])]
    named = [f"{name}: {problem}" for name, problems in data.items() for problem in problems]
    return {"detail": " ".join(general + named), **data}


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """400 outside of DRF's views."""
    return JsonResponse({"detail": "Bad request."}, status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> JsonResponse:
    """403 outside of DRF's views."""
    return JsonResponse({"detail": "Permission denied."}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """404 for a path that leads nowhere."""
    return JsonResponse({"detail": f"There is nothing at {request.path}."}, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    """500."""
    return JsonResponse({"detail": "Internal server error."}, status=500)
