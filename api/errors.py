"""The shape of every error: {"detail": "...", <name>: ["...", ...], ...}.

`detail` is a sentence for people. Each field, parameter or header that is to blame has its problems
under its own name.
"""

import sys
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from psycopg import errors as postgres
from rest_framework.exceptions import NotFound
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from api.limits import Exceeded

RETRY_AFTER_SECONDS = 1
# What psycopg does not count among its operational errors, although a later try may succeed: the
# server is a replica now, or it ended a transaction of a process that stood still.
PASSING = (postgres.ReadOnlySqlTransaction, postgres.IdleInTransactionSessionTimeout)


def api_error(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Return the response to an error in a view: DRF's own, or 503 for a database failure.

    The 503 is JSON for browsers too, because a page would ask Postgres who is signed in.
    """
    if is_unavailable(error):
        return unavailable()
    if isinstance(error, Exceeded):
        context["view"].headers |= error.usage.headers()
    response = exception_handler(error, context)
    if response is not None:
        response.data = shaped(response.data)
    return response


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether the database can't serve at the moment."""
    if isinstance(error, InternalError):
        return isinstance(error.__cause__, PASSING)
    return isinstance(error, OperationalError | InterfaceError)


def unavailable() -> JsonResponse:
    """Return the 503 for a database failure."""
    return JsonResponse(
        {"detail": "The database is not available. Please try again."},
        status=503,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


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
_server_error = _handler(500, "Internal server error.")


def server_error(request: HttpRequest) -> JsonResponse:
    """Return the 500 for an error outside of DRF's views, or 503 for a database failure."""
    return unavailable() if is_unavailable(sys.exception()) else _server_error(request)
