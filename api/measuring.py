"""Middleware that measures requests."""

import time
from functools import cache

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from prometheus_client import Histogram

from api.middleware import Handler
from backends import metrics

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"  # a value that clients choose freely must not become a label


def measured(get_response: Handler) -> Handler:
    """Measure the time of each request, by the name of its view and the class of its status."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = get_response(request)
        match = request.resolver_match
        endpoint = match.view_name if match else OTHER
        method = request.method if request.method in METHODS else OTHER
        _times(method, endpoint, response.status_code // 100).observe(time.perf_counter() - started)
        return response

    return handle


@cache
def _times(method: str, endpoint: str, status: int) -> Histogram:
    return metrics.REQUESTS.labels(method, endpoint, f"{status}xx")
