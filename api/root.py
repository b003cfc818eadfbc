"""The endpoint that lists all endpoints. A browser gets a page instead."""

from functools import cache

from drf_spectacular.generators import SchemaGenerator
from rest_framework import serializers
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api import access, schema
from api.json import JSONRenderer

# The page has no inline style, sends no form and loads nothing from elsewhere.
PAGE_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@cache
def endpoints() -> list[dict[str, str]]:
    """Return method, path and summary of every endpoint, from the OpenAPI document."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        {"method": method.upper(), "path": path, "summary": operation["summary"]}
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]


class Endpoint(serializers.Serializer[None]):
    """An endpoint."""

    method = serializers.CharField(help_text="GET, POST, PUT or DELETE.")
    path = serializers.CharField(help_text="The path, with parameters in braces.")
    summary = serializers.CharField(help_text="What it does.")


class Root(serializers.Serializer[None]):
    """An overview of the API."""

    example = {
        "endpoints": [{"method": "GET", "path": "/tweets", "summary": "All tweets"}],
        "isOpen": False,
        "schema": "/schema",
        "docs": "/docs",
    }
    endpoints = Endpoint(many=True, help_text="All endpoints.")
    isOpen = serializers.BooleanField(  # noqa: N815 (the API's own name)
        help_text="Whether anybody may act as anybody. Otherwise the API requires tokens."
    )
    schema = serializers.CharField(help_text="The address of the OpenAPI document.")
    docs = serializers.CharField(help_text="The address of the interactive documentation.")


class RootView(APIView):
    """An overview of the API. A browser gets a page instead."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = [JSONRenderer, TemplateHTMLRenderer]
    template_name = ""

    @schema.described(
        "listEndpoints", summary="All endpoints", returns=Root, parameters=[schema.IF_NONE_MATCH]
    )
    def get(self, request: Request) -> Response:
        if request.accepted_renderer.format == TemplateHTMLRenderer.format:
            return Response(headers={"Content-Security-Policy": PAGE_SECURITY_POLICY})
        body = {"endpoints": endpoints(), "isOpen": access.is_open()}
        return Response({**body, "schema": "/schema", "docs": "/docs"})
