"""Where a stream resumes: the header `Last-Event-ID` and the parameter `after`."""

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from api.cursors import Cursor

LAST_EVENT_ID = "Last-Event-ID"
NO_CURSOR = "This is not a cursor. The `prev` link of a page has one, and so do events."


def resumed_from(request: Request) -> Cursor | None:
    """Return the cursor that the client comes back with, or None. Raises ValidationError.

    The header comes first: a browser that reconnects sends the same address, with the old `after`.
    """
    texts = {
        LAST_EVENT_ID: request.headers.get(LAST_EVENT_ID) or None,
        "after": request.query_params.get("after"),
    }
    for name, text in texts.items():
        if text is not None:
            if cursor := Cursor.parse(text):
                return cursor
            raise ValidationError({name: [NO_CURSOR]})
    return None
