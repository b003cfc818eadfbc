"""Keyset paging, newest first: the parameters `limit`, `max_id`, `since_id` and `after`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.cursors import MOST_GIVEN, Cursor
from api.fields import MAX_DIGITS, MAX_ID, parse_whole_number

DEFAULT_LIMIT = 20
MAX_LIMIT = 200
MOST_ROWS = MAX_LIMIT + 1 + MOST_GIVEN  # that a page needs


class HasId(Protocol):
    @property
    def id(self) -> int: ...


_Item = TypeVar("_Item", bound=HasId)
_Rows = TypeVar("_Rows", bound="QuerySet[Model, object]")


class Page(NamedTuple, Generic[_Item]):
    """One page of a list, newest first.

    `has_more`: the window holds older items, or with a cursor newer ones.
    """

    items: Sequence[_Item]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Window:
    """A request for the newest `limit` items with `since_id` < id < `max_id`.

    Or, with a cursor, for the lowest `limit` ones that are new to it. The `since_id` is then at
    least its low-water id. Postgres holds ids of up to MAX_ID, so the default bounds exclude none
    that is in use.
    """

    limit: int = DEFAULT_LIMIT
    max_id: int = MAX_ID
    since_id: int = 0
    after: Cursor | None = None

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
        after = Cursor.parse(query["after"]) if "after" in query else None
        if after:
            asked["since_id"] = max(after.low, asked.get("since_id", 0))
        elif "after" in query:
            errors["after"] = ["This is not a cursor. The `prev` link of a response has one."]
        if errors:
            raise ValidationError(errors)
        return cls(**asked, after=after)

    @property
    def rows(self) -> int:
        """How many rows make a page: one more than its limit, and what the client was given."""
        return self.limit + 1 + (len(self.after.given) if self.after else 0)

    @property
    def bounds(self) -> tuple[int, int, int]:
        """The parameters of a statement that reads the page: max_id, since_id and rows."""
        return self.max_id, self.since_id, self.rows

    def select(self, rows: _Rows, column: str = "id") -> _Rows:
        """Return the rows that make the page, in the order in which `page` needs them.

        `column` holds the ids of the items.
        """
        bounds = {f"{column}__lt": self.max_id, f"{column}__gt": self.since_id}
        order = column if self.after else f"-{column}"
        return rows.filter(**bounds).order_by(order)[: self.rows]

    def page(self, items: Sequence[_Item]) -> Page[_Item]:
        """Return the page, from its newest items and one more, newest first.

        With a cursor: from its lowest ones and one more, in any order, with or without what the
        client was given.
        """
        if self.after is None:
            return Page(items[: self.limit], len(items) > self.limit)
        given = {*self.after.given}
        new = [item for item in items if item.id not in given]
        new.sort(key=attrgetter("id"), reverse=True)
        return Page(new[-self.limit :], len(new) > self.limit)

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
    request: Request,
    make: Callable[[Window], Page[_Item]],
    to_json: Callable[[_Item], object],
    *,
    low: int | None = None,
) -> Response:
    """Return the page that `make` returns for the requested window, as a JSON array.

    `Link` (RFC 8288) leads to older items, and with a cursor to what is new if `low` is given: the
    low-water id as of a moment before this call.
    """
    window = Window.from_query(request.query_params)
    page = make(window)
    address = f"{absolute_address(request)}?limit={window.limit}"
    links = []
    if page.has_more and window.after is None:
        since = f"&since_id={window.since_id}" if window.since_id else ""
        links.append(f'<{address}&max_id={page.items[-1].id}{since}>; rel="next"')
    if low is not None:
        links.append(f'<{address}&after={cursor(window, page, low, make)}>; rel="prev"')
    headers = {"Link": ", ".join(links)} if links else None
    return Response([to_json(item) for item in page.items], headers=headers)


def cursor(
    window: Window, page: Page[_Item], low: int, make: Callable[[Window], Page[_Item]]
) -> Cursor:
    """Return the cursor of a client that has been given the page.

    What is older than the page counts as given too: `next` leads there. Usually the page reaches
    down to the low-water id, so that only the page's own ids count.
    """
    ids = [item.id for item in page.items]
    low = max(0, min(low, window.max_id - 1))
    if window.after:
        # What is left over is above the page.
        reached = min(low, ids[0]) if page.has_more else low
        return Cursor.of(max(window.since_id, reached), [*window.after.given, *ids])
    lowest = ids[-1] if page.has_more else window.since_id + 1
    if low + 1 < lowest:
        older = make(Window(limit=MOST_GIVEN, max_id=lowest, since_id=low))
        ids += [item.id for item in older.items]
    return Cursor.of(low, ids)
