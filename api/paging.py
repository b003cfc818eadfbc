"""Keyset paging, newest first: the parameters `limit`, `max_id` and `since_id`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.fields import MAX_DIGITS, MAX_ID, parse_whole_number

DEFAULT_LIMIT = 20
MAX_LIMIT = 200


class HasId(Protocol):
    @property
    def id(self) -> int: ...


_Item = TypeVar("_Item", bound=HasId)
_Rows = TypeVar("_Rows", bound="QuerySet[Model, object]")


class Page(NamedTuple, Generic[_Item]):
    """One page of a list, newest first. `has_more`: the window holds older items."""

    items: Sequence[_Item]
    has_more: bool

    @classmethod
    def cut(cls, items: Sequence[_Item], limit: int) -> Self:
        """Return a page of the first `limit` items. Further ones only tell that there are more."""
        return cls(items[:limit], len(items) > limit)


@dataclass(frozen=True, slots=True)
class Window:
    """A request for at most `limit` items with `since_id` < id < `max_id`, newest first.

    Postgres holds ids of up to MAX_ID, so the default bounds exclude none that is in use.
    """

    limit: int = DEFAULT_LIMIT
    max_id: int = MAX_ID
    since_id: int = 0

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Parse a query string's parameters. Raises ValidationError that names each bad one."""
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
                errors[name] = [f"A whole number of at most {MAX_DIGITS} digits is needed."]
            elif name == "limit" and not 1 <= number <= MAX_LIMIT:
                errors[name] = [f"A number from 1 to {MAX_LIMIT} is needed."]
            else:
                asked[name] = min(number, MAX_ID)
        if errors:
            raise ValidationError(errors)
        return cls(**asked)

    def select(self, rows: _Rows) -> _Rows:
        """Return the rows within the bounds, newest first, and one more for `Page.cut`."""
        within = rows.filter(id__lt=self.max_id, id__gt=self.since_id)
        return within.order_by("-id")[: self.limit + 1]

    def below(self, floor: int, found: int) -> "Window | None":
        """Return what is left of the window at and below an id, or None if that is empty.

        `found` items above it are on the page already.
        """
        max_id = min(self.max_id, floor + 1)
        if found > self.limit or max_id <= self.since_id + 1:
            return None
        return replace(self, max_id=max_id, limit=self.limit - found)


def absolute_address(request: Request) -> str:
    """Return the requested address without its query."""
    django = request._request  # skips DRF's slow attribute look-ups
    return f"{django.scheme}://{django.get_host()}{django.path}"


def page_response(
    request: Request, window: Window, page: Page[_Item], to_json: Callable[[_Item], object]
) -> Response:
    """Return the page as a JSON array. `Link` (RFC 8288) leads to older and newer ones."""
    body = [to_json(item) for item in page.items]
    if not body:
        return Response(body)
    address = f"{absolute_address(request)}?limit={window.limit}"
    links = f'<{address}&since_id={page.items[0].id}>; rel="prev"'
    if page.has_more:
        since = f"&since_id={window.since_id}" if window.since_id else ""
        links = f'<{address}&max_id={page.items[-1].id}{since}>; rel="next", {links}'
    return Response(body, headers={"Link": links})
