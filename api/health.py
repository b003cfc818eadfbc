"""Probes: whether this process serves, and whether what it needs is there."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import resolve
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.json import AnyMediaType, JSONRenderer
from api.middleware import Handler
from api.paths import PROBES

OK, DEGRADED, FAILED = "ok", "degraded", "failed"


class Failed(Exception):
    """A check failed. The text is a sentence."""


class Check(NamedTuple):
    """A check. `run` returns what it has found, or raises Failed."""

    name: str
    run: Callable[[], str]
    is_needed: bool = True  # whether the service can't do without


class CheckSerializer(serializers.Serializer[None]):
    """The result of one check."""

    name = serializers.CharField(help_text="What was checked.")
    status = serializers.ChoiceField(
        [OK, DEGRADED, FAILED],
        help_text="`degraded` if the check fails, but the service works without what it checks.",
    )
    detail = serializers.CharField(help_text="A sentence about what was found.")


class HealthSerializer(serializers.Serializer[None]):
    """The results of all checks."""

    status = serializers.ChoiceField(
        [OK, DEGRADED, FAILED],
        help_text="The status of the worst check. With `failed` the status code is 503.",
    )
    checks = CheckSerializer(many=True, help_text="The result of each check.")


class ProbeView(APIView):
    """A probe, which runs some checks. It needs no token and counts against no rate limit."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AnyMediaType
    checks: Iterable[Check] = ()

    def report(self) -> Response:
        """Run the checks and return their results."""
        found: list[dict[str, str]] = []
        missing = ""
        for check in self.checks:
            if missing:  # other checks may need it too, and would wait again
                found.append(_line(check, f"Not checked, because of {missing}."))
                continue
            found.append(_result(check))
            missing = check.name if found[-1]["status"] == FAILED else ""
        statuses = {result["status"] for result in found}
        worst = next((status for status in (FAILED, DEGRADED) if status in statuses), OK)
        body = {"status": worst, "checks": found}
        headers = {"Cache-Control": "no-store"}
        return Response(body, status=503 if worst == FAILED else 200, headers=headers)


def _result(check: Check) -> dict[str, str]:
    try:
        detail = check.run()
    except Failed as error:
        return _line(check, str(error))
    return {"name": check.name, "status": OK, "detail": detail}


def _line(check: Check, problem: str) -> dict[str, str]:
    status = FAILED if check.is_needed else DEGRADED
    return {"name": check.name, "status": status, "detail": problem}


class LiveView(ProbeView):
    """Whether the process serves requests."""

    @extend_schema(
        operation_id="getLiveness",
        summary="Whether the process is alive",
        responses={200: OpenApiResponse(HealthSerializer, "It serves.")},
    )
    def get(self, request: Request) -> Response:
        """Return 200. If there is no answer, replace the process."""
        return self.report()


class ReadyView(ProbeView):
    """Whether the process can serve requests."""

    @extend_schema(
        operation_id="getReadiness",
        summary="Whether the process can serve requests",
        responses={
            200: OpenApiResponse(HealthSerializer, "It can. Some checks may be degraded."),
            503: OpenApiResponse(HealthSerializer, "A check of something that it needs failed."),
        },
    )
    def get(self, request: Request) -> Response:
        """Return 200, or 503 if a check of something that the service needs has failed."""
        return self.report()


def probes(get_response: Handler) -> Handler:
    """Answer probes before any other middleware: over HTTP too, and for any `Host`."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PROBES:
            return get_response(request)
        response: Response = resolve(request.path_info).func(request)
        response.render()
        return response

    return handle
