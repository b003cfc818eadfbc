"""The ASGI application, which `python -m twit.web` serves."""

from contextlib import suppress

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from twit.web import exposure
from twit.web.messages import Gone, Refused
from twit.web.shell import Shell
from twit.wsgi import application as wsgi_application

django = Shell(wsgi_application)  # serves all paths


async def application(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Serve a request, or send the error of one that was refused."""
    try:
        if scope["server"]:
            exposure.check(scope["server"][0])
        with suppress(Gone):
            await django(scope, receive, send)
    except Refused as refused:
        await refused.response.send(send)
