"""The OpenAPI document: what operations share, beyond what drf-spectacular reads from the code."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, TypeVar

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.fields import empty

from api.fields import ID_DIGITS, MAX_DIGITS
from api.paging import DEFAULT_LIMIT, MAX_LIMIT

_View = TypeVar("_View", bound=Callable[..., Any])

PROBLEMS = {
    400: "The request is invalid. The body names each field or parameter that is to blame.",
    401: "A token is needed, or the token is unknown, expired or revoked.",
    403: "Not allowed for this user, or sent to an open API by a web page of another site.",
    404: "Not found.",
    406: "Responses are JSON, which the `Accept` header excludes.",
    408: "The body took too long to arrive.",
    413: "The body is longer than any valid one.",
    415: "The body is neither JSON nor a form.",
    422: "The Idempotency-Key was used for another tweet.",
    429: "Too many requests, or too many logins.",
    503: "The database is not available, or the server is overloaded.",
}


_ERROR = {"$ref": "#/components/schemas/Error"}
_ERROR_SCHEMA = {
    "type": "object",
    "description": "The body of every error.",
    "properties": {"detail": {"type": "string", "description": "The problem, for people."}},
    "required": ["detail"],
    "additionalProperties": {
        "type": "array",
        "items": {"type": "string"},
        "description": "The problems of the field, parameter or header of this name.",
    },
    "examples": [
        {"detail": "There is no tweet 17."},
        {
            "detail": "message: This field may not be blank.",
            "message": ["This field may not be blank."],
        },
    ],
}


class TextSchema(OpenApiSerializerFieldExtension):
    """What text fields accept in requests: no NUL, and more than white space."""

    target_class = "api.fields.TextField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        if direction == "request":
            seen = r"[^\s\x00\x1c-\x1f\x85]" if self.target.trim_whitespace else r"[^\x00]"
            schema |= {"minLength": 1, "pattern": rf"^[^\x00]*{seen}[^\x00]*$"}
        return dict(schema)


def described(
    *,
    summary: str,
    status: int = 200,
    returns: Any = None,
    errors: Sequence[int] = (),
    parameters: Sequence[OpenApiParameter] = (),
    takes: Any = empty,
) -> Callable[[_View], _View]:
    """Return a decorator that describes an operation.

    It takes one serializer and returns another, or fails with one of `errors`, beside the status
    codes that all operations share. A serializer's `example` becomes the document's.
    """
    examples = [
        OpenApiExample(name, getattr(serializer, "child", serializer).example, **only)
        for name, serializer, only in (
            ("Request", takes, {"request_only": True}),
            ("Response", returns, {"response_only": True, "status_codes": [str(status)]}),
        )
        if hasattr(getattr(serializer, "child", serializer), "example")
    ]
    return extend_schema(
        summary=summary,
        parameters=[*parameters],
        request=takes,
        responses={
            status: OpenApiResponse(returns, HTTPStatus(status).phrase),
            **{number: OpenApiResponse(_ERROR, PROBLEMS[number]) for number in errors},
        },
        examples=examples,
    )


def parameter(
    name: str, kind: Literal["path", "query", "header"], schema: Mapping[str, Any], description: str
) -> OpenApiParameter:
    """Return a parameter that is passed in the path, the query or a header."""
    return OpenApiParameter(name, dict(schema), kind, description=description)


def digits(most: int) -> dict[str, str]:
    """Return the schema of a decimal string of at most that many digits."""
    return {"type": "string", "pattern": f"^[0-9]{{1,{most}}}$"}


USER_ID = parameter("user_id", "path", digits(ID_DIGITS), "The user's id.")
IF_NONE_MATCH = parameter(
    "If-None-Match", "header", {"type": "string"}, "The `ETag` of a response that the client has."
)
PAGE = [
    parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "The maximum number of tweets.",
    ),
    parameter("max_id", "query", digits(MAX_DIGITS), "Only tweets with lower ids."),
    parameter("since_id", "query", digits(MAX_DIGITS), "Only tweets with higher ids."),
    IF_NONE_MATCH,
]

_HEADERS = {
    "ETag": "The version of the response, for `If-None-Match`.",
    "Link": 'Neighbouring pages (RFC 8288): `rel="next"` is older, `rel="prev"` is newer.',
    "Location": "The address of the tweet.",
    "Retry-After": "The number of seconds to wait.",
    "WWW-Authenticate": "`Token`.",
    "X-RateLimit-Limit": "The number of requests allowed in a window, if there is a limit.",
    "X-RateLimit-Remaining": "The number of requests left in the window.",
    "X-RateLimit-Reset": "When the window ends, in seconds since 1970.",
}
_LIMITS = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]


def complete(result: dict[str, Any], **kwargs: object) -> dict[str, Any]:
    """Add what all operations of a kind share. drf-spectacular calls this postprocessing hook."""
    result["components"]["schemas"]["Error"] = _ERROR_SCHEMA
    for operations in result["paths"].values():
        for method, operation in operations.items():
            responses = operation["responses"]
            errors = [406, 429, 503]
            if method != "get":
                errors.append(403)
            if any(operation.get("security", [])):
                errors.append(401)
            if "requestBody" in operation:
                errors += [408, 413, 415]
            for status in errors:
                responses[str(status)] = {
                    "description": PROBLEMS[status],
                    "content": {"application/json": {"schema": _ERROR}},
                }
            if method == "get":
                responses["304"] = {"description": "Not modified."}
            for code, response in responses.items():
                if names := _header_names(method, code, response):
                    response["headers"] = {
                        name: {"description": _HEADERS[name], "schema": {"type": "string"}}
                        for name in names
                    }
            operation["responses"] = dict(sorted(responses.items()))
    return result


def _header_names(method: str, status: str, response: dict[str, Any]) -> list[str]:
    if status == "401":
        return ["WWW-Authenticate"]
    if status in ("429", "503"):
        return ["Retry-After", *(_LIMITS if status == "429" else [])]
    if not status.startswith(("2", "3")):
        return []
    names = ["ETag"] if method == "get" else []
    if status == "201":
        names.append("Location")
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    if schema.get("type") == "array":
        names.append("Link")
    return names + _LIMITS
