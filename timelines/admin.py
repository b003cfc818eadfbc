"""The admin's pages of deliveries, flags, admissions, and of why a reader sees a tweet or not."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html

from api import access
from api.admin import LongList, Rows
from api.fields import MAX_ID, parse_id
from timelines import status
from timelines.explaining.explanation import explain
from timelines.explaining.words import NOT_AN_ID
from timelines.models import Admission, ClockTimestamp, FanOut, Flag
from tweets.models import Tweet
from users.models import VIEW_FOLLOWS, User

VIEW_FAN_OUTS = "timelines.view_fanout"


class Watched(LongList):
    """Rows that triggers and workers write. A change by hand could lose a tweet."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Forbid it."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid it."""
        return False


class WatchedTweets(Watched):
    """Rows with the ids of a tweet and its author. Either may be deleted."""

    search_fields = ("tweet_id", "author_id")
    search_help_text = "The id of a tweet or of an author"

    def get_queryset(self, request: HttpRequest) -> Rows:
        tweets = Tweet.objects.filter(pk=OuterRef("tweet_id"))
        names = User.objects.filter(pk=OuterRef("author_id")).values("username")
        rows: Any = super().get_queryset(request)
        annotated: Rows = rows.annotate(has_tweet=Exists(tweets), author_name=Subquery(names))
        return annotated

    def found(self, term: str) -> Iterator[Rows]:
        if (number := parse_id(term)) is not None:
            yield self.model.objects.filter(tweet_id=number)
            yield self.model.objects.filter(author_id=number)

    @admin.display
    def tweet(self, row: Any) -> str:
        """Link to the tweet."""
        if not row.has_tweet:
            return f"{row.tweet_id} (deleted)"
        address = reverse("admin:tweets_tweet_change", args=[row.tweet_id])
        return format_html('<a href="{}">{}</a>', address, row.tweet_id)

    @admin.display
    def author(self, row: Any) -> str:
        """Link to the author."""
        if row.author_name is None:
            return f"{row.author_id} (deleted)"
        address = reverse("admin:users_user_change", args=[row.author_id])
        return format_html('<a href="{}">{}</a>', address, row.author_name)


@admin.register(FanOut)
class FanOutAdmin(WatchedTweets):
    list_display = ("kind", "problem", "attempts", "tweet", "author", "part", "next_attempt_at")
    readonly_fields = ("tweet", "author", "part", "created_at")
    fields = ("kind", *readonly_fields, "attempts", "next_attempt_at", "last_error")
    ordering = ("-attempts", "id")
    sortable_by = ("attempts",)
    actions = ("retry_now",)

    @admin.display(description="last error")
    def problem(self, fan_out: FanOut) -> str:
        """The last error, in a column that is wrapped."""
        return fan_out.last_error

    @admin.display(description="followers to serve")
    def part(self, fan_out: FanOut) -> str:
        """Which of the author's followers this row is for, by their user ids."""
        first, last = fan_out.after_follower_id + 1, fan_out.up_to_follower_id
        if last < MAX_ID:
            return f"range: {first} to {last}"
        return "all" if first == 1 else f"from {first}"

    @admin.action(description="Retry now", permissions=["view"])
    def retry_now(self, request: HttpRequest, fan_outs: QuerySet[FanOut]) -> None:
        """Make the chosen rows due."""
        with transaction.atomic():
            # Locking them first gives the transaction its id before the time is taken.
            chosen = [row.pk for row in fan_outs.select_for_update(of=("self",))]
            count = FanOut.objects.filter(pk__in=chosen).update(next_attempt_at=ClockTimestamp())
        self.message_user(request, f"{count} fan-outs are due now.")
        access.log.info("User %s in the admin: made %d fan-outs due", request.user.pk, count)


@admin.register(Flag)
class FlagAdmin(WatchedTweets):
    list_display = ("tweet", "author", "raised_at", "done_at")
    list_display_links = None
    ordering = ("raised_at",)


@admin.register(Admission)
class AdmissionAdmin(Watched):
    list_display = ("first_slot", "last_slot", "address", "identity", "generation", "admitted_at")
    ordering = ("first_slot",)


@permission_required(VIEW_FAN_OUTS, raise_exception=True)
def state(request: HttpRequest) -> JsonResponse:
    """Return the figures that the script of the start page shows."""
    return JsonResponse({**status.glance()._asdict(), "workers": status.workers().value()})


@permission_required(VIEW_FOLLOWS, raise_exception=True)
def explain_timeline(request: HttpRequest, user_id: str) -> HttpResponse:
    """Return the page that explains the user's home timeline, and one tweet if asked."""
    asked = request.GET.get("tweet", "").strip()
    tweet_id = parse_id(asked)
    error = NOT_AN_ID.format(asked) if asked and tweet_id is None else ""
    try:
        explanation = explain(parse_id(user_id) or 0, tweet_id)
    except User.DoesNotExist:
        raise Http404 from None
    reader = explanation.reader
    access.record_use(request.user, reader.pk, "explain this home timeline", VIEW_FOLLOWS)
    context = {
        **admin.site.each_context(request),
        "title": f"Home timeline of {reader}",
        "opts": admin.site.get_model_admin(User).opts,
        "explanation": explanation,
        "asked": asked,
        "error": error,
    }
    status = HTTPStatus.BAD_REQUEST if error else HTTPStatus.OK
    return render(request, "admin/explain_timeline.html", context, status=status)
