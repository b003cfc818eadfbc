"""JSON in and out."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from rest_framework import parsers
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.settings import api_settings


class JSONRenderer(BaseRenderer):
    """Renders with orjson: 50 tweets take 3 us, and 65 us with the standard library."""

    media_type = "application/json"
    format = "json"
    charset = None  # JSON is UTF-8 by definition

    def render(
        self, data: Any, media_type: str | None = None, context: Mapping[str, Any] | None = None
    ) -> bytes:
        """Return UTF-8 bytes, with datetimes as RFC 3339 in UTC. The browsable API indents them."""
        if data is None:
            return b""
        option = orjson.OPT_UTC_Z
        if context and "indent" in context:
            option |= orjson.OPT_INDENT_2
        # Error messages may be lazy translations, which str() resolves.
        return orjson.dumps(data, default=str, option=option)


class Negotiation(DefaultContentNegotiation):
    """DRF's, with a shortcut for the two Accept headers that most API clients send."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer and its media type. Raises NotAcceptable."""
        first, *others = renderers
        accepted = request.META.get("HTTP_ACCEPT", "*/*")
        override = api_settings.URL_FORMAT_OVERRIDE
        if accepted in ("*/*", first.media_type) and override not in request.query_params:
            return first, first.media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(
            request, [first, *others], format_suffix
        )
        return chosen


class AnyMediaType(DefaultContentNegotiation):
    """Always chooses JSON, regardless of the `Accept` header."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer and its media type."""
        first = next(iter(renderers))
        return first, first.media_type or ""


class JSONParser(parsers.JSONParser):
    """Parses with the standard library. It accepts lone surrogates, so that the field is blamed."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body's value. Raises ParseError unless it is JSON in UTF-8."""
        try:
            return super().parse(*args, **kwargs)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deeply.") from None
