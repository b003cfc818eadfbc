"""The shape of every error: {"detail": "...", "errors": {<name>: ["...", ...], ...}}.

`detail` is a sentence for people. `errors` is there only if fields, parameters or headers are to
blame, and has a list of problems for each of them.
"""

import sys
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from psycopg import errors as postgres
from rest_framework.exceptions import APIException, NotFound
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from api.limits import Exceeded

RETRY_AFTER_SECONDS = 1
UNAVAILABLE = "The database is not available. Please try again."
# Errors that psycopg does not count as operational, although a retry may succeed: the server is a
# replica now, or it ended a transaction in which the process was suspended.
PASSING = (postgres.ReadOnlySqlTransaction, postgres.IdleInTransactionSessionTimeout)


def api_error(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Return the response to an error in a view: DRF's own, or 503 for a database failure.

    The 503 is JSON in browsers too, because the browsable API would ask Postgres for the user.
    """
    if is_unavailable(error):
        return unavailable()
    if isinstance(error, Exceeded):
        context["view"].headers |= error.usage.headers()
    response = exception_handler(error, context)
    if response is not None:
        response.data = _shaped(response.data)
    return response


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether the database can't serve at the moment."""
    if isinstance(error, InternalError):
        return isinstance(error.__cause__, PASSING)
    return isinstance(error, OperationalError | InterfaceError)


def unavailable() -> JsonResponse:
    """Return the 503 for a database failure."""
    return JsonResponse(
        {"detail": UNAVAILABLE}, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
    )


def body(error: APIException) -> dict[str, Any]:
    """Return the body of the response to an error in a view."""
    return _shaped(
        error.detail if isinstance(error.detail, list | dict) else {"detail": error.detail}
    )


def _shaped(data: Any) -> dict[str, Any]:
    if isinstance(data, list):  # problems that no field is to blame for
        data = {api_settings.NON_FIELD_ERRORS_KEY: data}
    if "detail" in data:
        return {"detail": str(data["detail"])}
    general = [str(problem) for problem in data.pop(api_settings.NON_FIELD_ERRORS_KEY, [])]
    errors = {name: [str(problem) for problem in problems] for name, problems in data.items()}
    named = [f"{name}: {problem}" for name, problems in errors.items() for problem in problems]
    detail = {"detail": " ".join(general + named)}
    return {**detail, "errors": errors} if errors else detail


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
