"""The shape of every error: {"detail": "...", <name>: ["...", ...], ...}.

`detail` is a sentence for people. Each field, parameter or header that is to blame has its problems
under its own name.
"""

from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import NotFound
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

RETRY_AFTER_SECONDS = 1


def api_error(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Return the response to an error in a view: DRF's own, or 503 for a database failure.

    The 503 is JSON for browsers too, because a page would ask Postgres who is signed in.
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
    """Return DRF's error data with a `detail` in every case."""
    if isinstance(data, list):  # problems that no field is to blame for
        data = {api_settings.NON_FIELD_ERRORS_KEY: data}
    if "detail" in data:
        return {"detail": data["detail"]}
    general = [str(problem) for problem in data.pop(api_settings.NON_FIELD_ERRORS_KEY, [])]
    named = [f"{name}: {problem}" for name, problems in data.items() for problem in problems]
    return {"detail": " ".join(general + named), **data}


def no_such(kind: str, id_: int | str) -> NotFound:
    """Return the 404 for a user or a tweet that does not exist."""
    return NotFound(f"There is no {kind} {id_}.")


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Return the response to a request that Django rejects before any view sees it."""
    return JsonResponse({"detail": "Bad request."}, status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Return the response to a form that fails the CSRF check, for example."""
    return JsonResponse({"detail": "Permission denied."}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Return the response to a path that no view serves."""
    return JsonResponse({"detail": f"There is nothing at {request.path}."}, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"detail": "Internal server error."}, status=500)
