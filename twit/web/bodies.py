"""Reads the bodies of requests in the event loop, so that a slow client holds no thread."""

import asyncio
from contextlib import nullcontext

from asgiref.typing import ASGIReceiveCallable, HTTPScope
from django.conf import settings

from twit.web.messages import Gone, Refused

# The longest message or password takes 12 kB, in JSON or as a form.
MAX_BODY_BYTES = 64 * 1024
# A body may take this long, and a second more for each BYTES_A_SECOND.
BODY_SECONDS = 10.0
BYTES_A_SECOND = 8 * 1024
# Only the admin's forms may be longer. To bound memory, this many are read at a time; the others
# wait. They must arrive faster, so that slow ones don't hold up those that wait.
LONG_BODIES = asyncio.Semaphore(8)
LONG_BYTES_A_SECOND = 128 * 1024


async def read(scope: HTTPScope, receive: ASGIReceiveCallable) -> bytes:
    """Return the whole body. Raises Refused if it is too long, too slow or cut off, or Gone."""
    headers = dict(scope["headers"])
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return b""
    is_form = scope["path"].startswith("/admin/")
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE if is_form else MAX_BODY_BYTES
    length = int(headers.get(b"content-length", most))
    if length > most:
        raise _too_long(most)
    is_long = length > MAX_BODY_BYTES
    seconds = BODY_SECONDS + length / (LONG_BYTES_A_SECOND if is_long else BYTES_A_SECOND)
    place = LONG_BODIES if is_long else nullcontext()
    try:
        async with asyncio.timeout(seconds), place:
            return await _receive_all(scope, receive, most)
    except TimeoutError:
        detail = f"The body did not arrive within {seconds:.0f} seconds."
        raise Refused(408, detail, connection="close") from None


async def _receive_all(scope: HTTPScope, receive: ASGIReceiveCallable, most: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        body += message["body"]
        if len(body) > most:
            raise _too_long(most)
        if not message["more_body"]:
            return bytes(body)
        if scope["state"].get("has_ended"):
            detail = f"The body was cut off after {len(body)} bytes."
            raise Refused(400, detail, connection="close")


def _too_long(most: int) -> Refused:
    return Refused(413, f"The body is longer than {most:,} bytes.")
