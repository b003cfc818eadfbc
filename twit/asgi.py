"""The ASGI application, which `python -m twit.web` serves."""

from contextlib import suppress

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from django.conf import settings

import twit.celery  # noqa: F401 (it names Django's settings, which other modules need)
from backends import metrics
from twit.web import exposure
from twit.web.exchange import Exchange
from twit.web.messages import Gone, Refused, Response
from twit.web.shell import Shell
from twit.wsgi import application as wsgi_application

django = Shell(wsgi_application)  # serves all paths


async def application(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Serve a request, or send the error of one that was refused."""
    exchange = Exchange(scope, send)
    try:
        if scope["server"]:
            exposure.check(scope["server"][0])
        with suppress(Gone):
            await django(scope, receive, exchange.send)
    except Refused as refused:
        metrics.REFUSED_REQUESTS.labels(refused.response.status).inc()
        await _readable(refused.response, scope).send(scope, exchange.send)
    finally:
        exchange.end()


def _readable(response: Response, scope: HTTPScope) -> Response:
    """Return the response with CORS headers, as Django would send it to this origin."""
    if not settings.CORS_ALLOWED_ORIGINS:
        return response
    headers = [*response.headers, (b"vary", b"origin")]
    origin = dict(scope["headers"]).get(b"origin", b"")
    if origin.decode("latin-1") in settings.CORS_ALLOWED_ORIGINS:
        headers.append((b"access-control-allow-origin", origin))
        headers.append((b"access-control-expose-headers", b"Retry-After, X-Request-ID"))
    return response._replace(headers=headers)
