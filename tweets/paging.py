"""Keyset paging, newest first, as the parameters `limit`, `max_id` and `since_id` ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from tweets.serializers import DisplayedTweet, parse_whole_number

DEFAULT_LIMIT = 20
MAX_LIMIT = 200

_Rows = TypeVar("_Rows", bound="QuerySet[Model, object]")


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` tweets with `since_id` < id < `max_id`, the newest of them first."""

    limit: int = DEFAULT_LIMIT
    max_id: int | None = None
    since_id: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """The window that a query string asks for. Raises ValidationError naming each bad field."""
        if not query:
            return cls()
        asked: dict[str, int] = {}
        errors: dict[str, list[str]] = {}
        for name in ("limit", "max_id", "since_id"):
            text = query.get(name)
            if text is None:
                continue
            number = parse_whole_number(text)
            if number is None:
                errors[name] = ["A whole number of at most 20 digits is needed."]
            elif name == "limit" and not 1 <= number <= MAX_LIMIT:
                errors[name] = [f"A number from 1 to {MAX_LIMIT} is needed."]
            else:
                asked[name] = number
        if errors:
            raise ValidationError(errors)
        return cls(**asked)

    def select(self, tweets: _Rows) -> _Rows:
        """`tweets` within the bounds, newest first, and one more than `limit`.

        The one more tells whether there is a next page, without a count.
        """
        if self.max_id is not None:
            tweets = tweets.filter(id__lt=self.max_id)
        if self.since_id is not None:
            tweets = tweets.filter(id__gt=self.since_id)
        return tweets.order_by("-id")[: self.limit + 1]


def absolute_address(request: Request) -> str:
    """The address that was requested, without its query."""
    django = request._request  # past DRF's slow look-ups
    return f"{django.scheme}://{django.get_host()}{django.path}"


def page_response(request: Request, window: Window, tweets: Sequence[DisplayedTweet]) -> Response:
    """A page as a JSON array, with an RFC 8288 `Link` header.

    `tweets` holds one more than the page when there are older ones. `next` is the page of older
    tweets, there only while the window has more of them; `prev` is what has come since this page.
    """
    page = tweets[: window.limit]
    if not page:
        return Response(page)
    address = f"{absolute_address(request)}?limit={window.limit}"
    links = f'<{address}&since_id={page[0]["id"]}>; rel="prev"'
    if len(tweets) > window.limit:
        since = "" if window.since_id is None else f"&since_id={window.since_id}"
        links = f'<{address}&max_id={page[-1]["id"]}{since}>; rel="next", {links}'
    return Response(page, headers={"Link": links})
