"""The shape of every error: {"detail": "...", <name>: ["...", ...], ...}.

`detail` is a sentence for people. Each field, parameter or header that is to blame has its problems
under its own name.
"""

from collections.abc import Callable
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


def _handler(status: int, detail: str) -> Callable[..., JsonResponse]:
    """Return a handler of errors outside of DRF's views."""

    def handle(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
        return JsonResponse({"detail": detail.format(path=request.path)}, status=status)

    return handle


bad_request = _handler(400, "Bad request.")
permission_denied = _handler(403, "Permission denied.")
not_found = _handler(404, "There is nothing at {path}.")
server_error = _handler(500, "Internal server error.")
