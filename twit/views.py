"""The endpoint that lists the endpoints."""

from functools import cache

from drf_spectacular.generators import SchemaGenerator
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tweets import schema


@cache
def endpoints() -> list[dict[str, str]]:
    """Method, path and summary of every endpoint, as the OpenAPI document has them."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        {"method": method.upper(), "path": path, "summary": operation["summary"]}
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]


class Endpoint(serializers.Serializer[None]):
    """One of them."""

    method = serializers.CharField(help_text="GET, POST or DELETE.")
    path = serializers.CharField(help_text="With parameters in braces.")
    summary = serializers.CharField(help_text="What it does.")


class Root(serializers.Serializer[None]):
    """What there is."""

    endpoints = Endpoint(many=True, help_text="All endpoints.")
    schema = serializers.CharField(help_text="Where the OpenAPI document is.")
    docs = serializers.CharField(help_text="Where it can be read and tried.")


class RootView(APIView):
    """What there is."""

    authentication_classes = ()
    permission_classes = ()

    @schema.described(
        "All endpoints",
        200,
        Root,
        "What there is.",
        example={
            "endpoints": [{"method": "GET", "path": "/tweets", "summary": "All tweets"}],
            "schema": "/schema",
            "docs": "/docs",
        },
        parameters=[schema.IF_NONE_MATCH],
    )
    def get(self, request: Request) -> Response:
        """The list of endpoints."""
        return Response({"endpoints": endpoints(), "schema": "/schema", "docs": "/docs"})
