"""Describes operations for the OpenAPI document. Their shared responses: api/responses.py."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, TypeVar

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.fields import empty

from api.cursors import PATTERN
from api.errors import body
from api.fields import ID_DIGITS, MAX_DIGITS
from api.paging import DEFAULT_LIMIT, MAX_LIMIT
from api.responses import ERRORS
from api.resuming import LAST_EVENT_ID, NO_CURSOR

_View = TypeVar("_View", bound=Callable[..., Any])


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
    operation: str,
    *,
    summary: str,
    status: int = 200,
    returns: Any = None,
    errors: Sequence[APIException] = (),
    parameters: Sequence[OpenApiParameter] = (),
    takes: Any = empty,
    media_type: str = "application/json",
) -> Callable[[_View], _View]:
    """Return a decorator that describes an operation.

    Generated clients name it `operation`. It takes one serializer and returns another, or fails
    with one of `errors` or of those that all operations share. The document's examples are each
    serializer's `example` and the bodies of the errors.
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
        operation_id=operation,
        summary=summary,
        parameters=[*parameters],
        request=takes,
        responses={(status, media_type): OpenApiResponse(returns, HTTPStatus(status).phrase)},
        examples=examples,
        extensions={ERRORS: {error.status_code: body(error) for error in errors}},
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
        "The maximum number of items.",
    ),
    parameter("max_id", "query", digits(MAX_DIGITS), "Only items with lower ids."),
    parameter("since_id", "query", digits(MAX_DIGITS), "Only items with higher ids."),
    IF_NONE_MATCH,
]
CURSOR = {"type": "string", "pattern": f"^{PATTERN}$"}
NEWS = [
    *PAGE,
    parameter(
        "after",
        "query",
        CURSOR,
        "A cursor, from a `prev` link: only tweets that are new since that response. If more than "
        "`limit` are new, the page has the oldest of them.",
    ),
]
BAD_PAGE = ValidationError({"limit": [f"A number from 1 to {MAX_LIMIT} is needed."]})
# Of streams.
RESUME = [
    parameter(
        "after",
        "query",
        CURSOR,
        "A cursor, from a `prev` link or an event's `id`: the stream begins with what is new since "
        "then. By default it begins with the next tweet that arrives.",
    ),
    parameter(
        LAST_EVENT_ID,
        "header",
        CURSOR,
        "A cursor, like `after`. Browsers send it when they reconnect. It overrides `after`.",
    ),
]
BAD_CURSOR = ValidationError({"after": [NO_CURSOR]})
