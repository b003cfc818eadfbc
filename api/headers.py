"""The headers of responses that clients may read: OpenAPI types, and descriptions."""

RATE_LIMIT_HEADERS = {
    "RateLimit": ("string", 'Requests left (IETF draft): `"requests";r=42;t=30` for 30 s.'),
    "RateLimit-Policy": ("string", 'The limit (same draft): `"requests";q=900;w=900` for 900 s.'),
    "X-RateLimit-Limit": ("integer", "The number of requests allowed in a window."),
    "X-RateLimit-Remaining": ("integer", "The number of requests left in the window."),
    "X-RateLimit-Reset": ("integer", "When the window ends, in seconds since 1970."),
}
HEADERS = {
    "ETag": ("string", "The version of the response, for `If-None-Match`."),
    "Idempotency-Replayed": (
        "boolean",
        "`true` if an earlier request with this `Idempotency-Key` stored the tweet.",
    ),
    "Link": (
        "string",
        'Other pages (RFC 8288): `rel="next"` has older items, `rel="prev"` new ones.',
    ),
    "Location": ("string", "The address of what was created."),
    "Retry-After": ("integer", "The number of seconds to wait."),
    "X-Request-ID": ("string", "The request's id in the server's log."),
    "WWW-Authenticate": ("string", "`Bearer`, and a realm (RFC 6750)."),
} | RATE_LIMIT_HEADERS
