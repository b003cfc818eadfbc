"""What the lists of the admin share. They stay fast with millions of rows."""

from collections import Counter
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import model_ngettext
from django.core.paginator import Page, Paginator
from django.db.models import CASCADE, Model, QuerySet
from django.http import Http404, HttpRequest

from backends.postgres import binary_cursor

MOST_COUNTED = 10_000  # rows, which takes some milliseconds
MOST_FOUND = 1_000  # rows that each way of searching finds
MOST_NAMED = 100  # rows that are about to be deleted

Rows = QuerySet[Any]


class Pages(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Pages of a list. Only the first rows are counted.

    For a longer table, Postgres has an estimate. Then pages in the second half are counted from the
    end, so that the last one has the last rows and is as cheap as the first. If rows are filtered,
    there is no estimate, and the list ends after MOST_COUNTED rows.
    """

    object_list: Any  # a QuerySet

    @cached_property
    def counted(self) -> int:
        return int(self.object_list.order_by().values("pk")[:MOST_COUNTED].count())

    @property
    def is_long(self) -> bool:
        return self.counted == MOST_COUNTED

    @property
    def is_estimate(self) -> bool:
        return self.is_long and not self.object_list.query.where

    @cached_property
    def count(self) -> int:
        if not self.is_estimate:
            return self.counted
        return max(self.counted, _estimated_count(self.object_list))

    def page(self, number: int | str) -> Page[Any]:
        """Return the page. Its rows are read by id, so nothing is computed for those before it."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        after = max(0, self.count - first - self.per_page)
        rows = self.object_list
        if self.is_estimate and after < first:
            ids = rows.reverse().values_list("pk", flat=True)[after : self.count - first]
        else:
            ids = rows.values_list("pk", flat=True)[first : first + self.per_page]
        return Page(rows.filter(pk__in=list(ids)), number, self)


def _estimated_count(rows: Rows) -> int:
    table = rows.query.get_meta().db_table
    with binary_cursor() as cursor:
        sql = "SELECT reltuples::bigint FROM pg_class WHERE oid = $1::text::regclass"
        [estimate] = cursor.execute(sql, [table]).fetchone() or [0]
    return int(estimate)


def store(row: Any, fields: Collection[str]) -> None:
    """Store these fields of a row. Raises Http404 if the row has been deleted.

    `save()` would also undo what others have done since the row was read: it would write all of its
    columns, and insert a row again that has been deleted.
    """
    values = {name: getattr(row, name) for name in fields}
    if values and not type(row).objects.filter(pk=row.pk).update(**values):
        raise Http404


class LongList(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """A table that may be long: only what an index answers is sorted, counted or searched."""

    paginator = Pages
    change_list_template = "admin/long_list.html"
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    sortable_by: ClassVar[tuple[str, ...]] = ("id",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["api/admin.css"]}

    def found(self, term: str) -> Iterator[Rows]:
        """Yield the rows that each way of searching finds. Each is cheap."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: Rows, search_term: str
    ) -> tuple[Rows, bool]:
        """Return the rows that `found` yields, at most MOST_FOUND of each way of searching."""
        if not search_term:
            return queryset, False
        ids = {
            pk
            for rows in self.found(search_term)
            for pk in rows.values_list("pk", flat=True)[:MOST_FOUND]
        }
        return queryset.filter(pk__in=ids), False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return none for a new row: the database sets them."""
        return super().get_readonly_fields(request, obj) if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store a new row, or what the form has changed in a row."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        store(obj, {field.name for field in self.opts.concrete_fields} & {*form.changed_data})

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Count what is deleted with the rows. Django would list it: perhaps a million follows."""
        gone: Counter[Any] = Counter({self.model: len(objs)})
        for relation in self.opts.related_objects:
            if getattr(relation, "on_delete", None) is CASCADE:
                model: Any = relation.related_model
                rows = model.objects.filter(**{f"{relation.field.name}__in": objs})
                gone[model] += rows.count()
        counts = {model_ngettext(model, n): n for model, n in gone.items() if n}
        forbidden = {model_ngettext(m, 1) for m in gone if not self._may_delete(request, m)}
        return [str(row) for row in objs[:MOST_NAMED]], counts, forbidden, []

    def _may_delete(self, request: HttpRequest, model: type[Model]) -> bool:
        if not self.admin_site.is_registered(model):
            return True
        return self.admin_site.get_model_admin(model).has_delete_permission(request)
