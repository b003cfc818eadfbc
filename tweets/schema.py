"""What the OpenAPI document says of the endpoints, beside what their code says itself."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.fields import empty

from tweets.paging import DEFAULT_LIMIT, MAX_LIMIT

_View = TypeVar("_View", bound=Callable[..., Any])

ID = "^[1-9][0-9]{0,18}$"
TWEET = {
    "id": "17",
    "userId": "3",
    "userName": "louis",
    "message": "hello",
    "createdAt": "2026-01-05T09:31:00Z",
}
PROBLEMS = {
    "400": "Something that was sent is wrong; what, is under its name.",
    "401": "No token where one is needed, or one that is unknown, expired or revoked.",
    "403": "This is for others.",
    "404": "There is no such thing.",
    "406": "Answers are JSON, and the request's `Accept` does not take that.",
    "411": "The body does not tell its length.",
    "413": "The body is longer than any that makes sense.",
    "415": "The body is neither JSON nor a form.",
    "422": "The Idempotency-Key was used for another tweet.",
    "429": "Too many requests, or too many failed logins.",
    "503": "The database is away.",
}


_ERROR = {"$ref": "#/components/schemas/Error"}
_ERROR_SCHEMA = {
    "type": "object",
    "description": "The body of every error.",
    "properties": {"detail": {"type": "string", "description": "What is wrong, for people."}},
    "required": ["detail"],
    "additionalProperties": {
        "type": "array",
        "items": {"type": "string"},
        "description": "What is wrong with the part of the request that has this name.",
    },
    "examples": [
        {"detail": "There is no tweet 17."},
        {
            "detail": "message: This field may not be blank.",
            "message": ["This field may not be blank."],
        },
    ],
}


class Tweet(serializers.Serializer[None]):
    """A tweet; it never changes."""

    id = serializers.RegexField(ID, help_text="A decimal number; newer tweets have greater ones.")
    userId = serializers.RegexField(ID, help_text="Its author's id.")  # noqa: N815
    userName = serializers.CharField(help_text="Its author's name.")  # noqa: N815
    message = serializers.CharField(help_text="1 to 280 Unicode code points.")
    createdAt = serializers.DateTimeField(help_text="In UTC.")  # noqa: N815


class TokenScheme(OpenApiAuthenticationExtension):
    """How a request bears a token."""

    target_class = "users.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """The header."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token ` and a token from `POST /auth/login`.",
        }


class TextSchema(OpenApiSerializerFieldExtension):
    """What text fields take in requests: no NUL, and not only white space."""

    target_class = "tweets.serializers.TextField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """The bounds of its length, and a pattern."""
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        if direction == "request":
            seen = r"[^\s\x00\x1c-\x1f\x85]" if self.target.trim_whitespace else r"[^\x00]"
            schema |= {"minLength": 1, "pattern": rf"^[^\x00]*{seen}[^\x00]*$"}
        return dict(schema)


def described(
    summary: str,
    status: int,
    answer: Any,
    description: str,
    *errors: int,
    example: Any = None,
    body: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    request: Any = empty,
) -> Callable[[_View], _View]:
    """A decorator: the operation takes `body` and answers with `answer`, or one of `errors`.

    `body` and `example` are examples.
    """
    return extend_schema(
        summary=summary,
        parameters=[*parameters],
        request=request,
        responses={
            status: OpenApiResponse(answer, description),
            **{number: OpenApiResponse(_ERROR, PROBLEMS[str(number)]) for number in errors},
        },
        examples=[
            OpenApiExample(name, value, **only)
            for name, value, only in (
                ("a request", body, {"request_only": True}),
                ("an answer", example, {"response_only": True, "status_codes": [str(status)]}),
            )
            if value is not None
        ],
    )


def parameter(
    name: str,
    kind: Literal["path", "query", "header"],
    schema: dict[str, Any],
    description: str,
) -> OpenApiParameter:
    """A parameter of that kind."""
    return OpenApiParameter(name, schema, kind, description=description)


def _id(digits: int) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^[0-9]{{1,{digits}}}$"}


USER_ID = parameter("user_id", "path", _id(19), "A user's id.")
TWEET_ID = parameter("tweet_id", "path", _id(19), "A tweet's id.")
IF_NONE_MATCH = parameter("If-None-Match", "header", {"type": "string"}, "An `ETag`, to get 304.")
KEY = parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "Makes the request safe to repeat: for 24 hours the same key of the same user gets the first "
    "answer again, and no second tweet is stored. A UUID does well.",
)
PAGE = [
    parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "How many tweets at most.",
    ),
    parameter("max_id", "query", _id(20), "Only tweets with smaller ids."),
    parameter("since_id", "query", _id(20), "Only tweets with greater ids."),
    IF_NONE_MATCH,
]

_HEADERS = {
    "ETag": "For `If-None-Match`.",
    "Link": 'The pages around this one, by RFC 8288: `rel="next"` is older, `rel="prev"` newer.',
    "Location": "Where the tweet is.",
    "Retry-After": "The seconds to wait.",
    "WWW-Authenticate": "`Token`.",
    "X-RateLimit-Limit": "The requests that are taken in a window; where limits are on.",
    "X-RateLimit-Remaining": "Those that are left of them.",
    "X-RateLimit-Reset": "When the window ends, in seconds since 1970.",
}
_LIMITS = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]


def complete(result: dict[str, Any], **kwargs: object) -> dict[str, Any]:
    """A postprocessing hook: what all operations of a kind have in common."""
    result["components"]["schemas"]["Error"] = _ERROR_SCHEMA
    for operations in result["paths"].values():
        for method, operation in operations.items():
            responses = operation["responses"]
            errors = ["406", "429", "503"]
            if any(operation.get("security", [])):
                errors.append("401")
            if "requestBody" in operation:
                errors += ["411", "413", "415"]
            for status in errors:
                responses[status] = {
                    "description": PROBLEMS[status],
                    "content": {"application/json": {"schema": _ERROR}},
                }
            if method == "get":
                responses["304"] = {"description": "It is as the client has it."}
            for status, response in responses.items():
                if names := _header_names(method, status, response):
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
