"""The OpenAPI document's responses: what operations share, beyond what drf-spectacular finds."""

from typing import Any

from rest_framework.exceptions import (
    NotAcceptable,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
    UnsupportedMediaType,
)

from api.access import BY_ANOTHER_SITE
from api.errors import UNAVAILABLE, body
from api.headers import HEADERS, RATE_LIMIT_HEADERS
from api.paths import PROBES
from api.streams import MEDIA_TYPE

ERRORS = "x-errors"  # an operation's own examples by status code, until `complete` takes them

_PROBLEMS = {
    400: "The request is invalid. `errors` names each field, parameter or header that is to blame.",
    401: "A token is needed, or is unknown, expired or revoked; or the login failed.",
    403: "Not allowed for this user, or sent to an open API by a web page of another site.",
    404: "Not found.",
    406: "Responses are JSON, which the `Accept` header excludes.",
    408: "The body took too long to arrive.",
    410: "The tweet that this Idempotency-Key stored has been deleted since.",
    413: "The body is longer than any valid one.",
    415: "The body is neither JSON nor a form.",
    422: "The Idempotency-Key was used for another tweet.",
    429: "Too many requests, or too many logins.",
    503: "The database is not available, or the server is overloaded.",
}
# The examples of all operations that have none of their own.
_EXAMPLES = {
    401: body(NotAuthenticated()),
    403: body(PermissionDenied(BY_ANOTHER_SITE)),
    406: body(NotAcceptable()),
    408: {"detail": "The body did not arrive within 10 seconds."},
    413: {"detail": "The body is longer than 65,536 bytes."},
    415: body(UnsupportedMediaType("text/plain")),
    429: body(Throttled(wait=30)),
    503: {"detail": UNAVAILABLE},
}
_ERROR = {"$ref": "#/components/schemas/Error"}
_ERROR_SCHEMA = {
    "type": "object",
    "description": "The body of every error.",
    "properties": {
        "detail": {"type": "string", "description": "The problem, for people."},
        "errors": {
            "type": "object",
            "description": "The problems of each field, parameter or header that is to blame. "
            "Absent if none is.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
    "required": ["detail"],
    "additionalProperties": False,
}


def complete(result: dict[str, Any], **kwargs: object) -> dict[str, Any]:
    """Add what all operations of a kind share. drf-spectacular calls this postprocessing hook."""
    result["components"]["schemas"]["Error"] = _ERROR_SCHEMA
    for path, operations in result["paths"].items():
        if path in PROBES:
            continue
        for method, operation in operations.items():
            responses = operation["responses"]
            examples = {status: _EXAMPLES[status] for status in _shared_errors(method, operation)}
            examples |= operation.pop(ERRORS, {})
            for status, example in examples.items():
                content = {"application/json": {"schema": _ERROR, "example": example}}
                responses[str(status)] = {"description": _PROBLEMS[status], "content": content}
            if _has_etag(method, responses):
                responses["304"] = {"description": "Not modified."}
            for code, response in responses.items():
                if names := _header_names(method, code, operation):
                    response["headers"] = {name: _header(*HEADERS[name]) for name in names}
            operation["responses"] = dict(sorted(responses.items()))
    return result


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def _header_names(method: str, status: str, operation: dict[str, Any]) -> list[str]:
    if status == "401":
        return ["WWW-Authenticate"]
    if status in ("429", "503"):
        return ["Retry-After", *(RATE_LIMIT_HEADERS if status == "429" else [])]
    if not status.startswith(("2", "3")):
        return []
    names = ["ETag"] if _has_etag(method, operation["responses"]) else []
    if status == "201":
        names.append("Location")
        if any(taken["name"] == "Idempotency-Key" for taken in operation.get("parameters", [])):
            names.append("Idempotency-Replayed")
    schema = (
        operation["responses"][status]
        .get("content", {})
        .get("application/json", {})
        .get("schema", {})
    )
    if schema.get("type") == "array":
        names.append("Link")
    return [*names, *RATE_LIMIT_HEADERS]


def _has_etag(method: str, responses: dict[str, Any]) -> bool:
    return method == "get" and MEDIA_TYPE not in responses["200"].get("content", {})


def _shared_errors(method: str, operation: dict[str, Any]) -> list[int]:
    errors = [406, 429, 503]
    if method != "get":
        errors.append(403)
    if any(operation.get("security", [])):
        errors.append(401)
    if "requestBody" in operation:
        errors += [408, 413, 415]
    return errors
