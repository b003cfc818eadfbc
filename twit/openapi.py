"""drf-spectacular's settings."""

from importlib.metadata import version

SPECTACULAR_SETTINGS = {
    "TITLE": "Twit",
    "DESCRIPTION": "A home-timeline service: it delivers tweets to the home timelines of their "
    "authors' followers. Requests may also send forms.",
    "VERSION": version("twit"),
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": "/", "description": "The server of this document."}],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",  # no request to another server
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Generated clients need one format of each body; the others are for people.
    "RENDERER_WHITELIST": ["api.json.JSONRenderer"],
    "PARSER_WHITELIST": ["api.json.JSONParser"],
    "POSTPROCESSING_HOOKS": ["api.responses.complete"],
}
