"""The endpoint that lists the endpoints."""

from functools import cache

from drf_spectacular.generators import SchemaGenerator
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api import schema


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

    method = serializers.CharField(help_text="GET, POST or DELETE.")
    path = serializers.CharField(help_text="With parameters in braces.")
    summary = serializers.CharField(help_text="What it does.")


class Root(serializers.Serializer[None]):
    """An overview of the API."""

    example = {
        "endpoints": [{"method": "GET", "path": "/tweets", "summary": "All tweets"}],
        "schema": "/schema",
        "docs": "/docs",
    }
    endpoints = Endpoint(many=True, help_text="All endpoints.")
    schema = serializers.CharField(help_text="The address of the OpenAPI document.")
    docs = serializers.CharField(help_text="The address of the interactive documentation.")


class RootView(APIView):
    """An overview of the API."""

    authentication_classes = ()
    permission_classes = ()

    @schema.described(summary="All endpoints", returns=Root, parameters=[schema.IF_NONE_MATCH])
    def get(self, request: Request) -> Response:
        return Response({"endpoints": endpoints(), "schema": "/schema", "docs": "/docs"})
