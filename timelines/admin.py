"""The outbox in the admin: what is pending, what is slow, and what fails and why."""

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from api.fields import MAX_ID
from timelines.models import ClockTimestamp, FanOut, Flag


@admin.register(FanOut)
class FanOutAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = (
        *("id", "kind", "tweet_id", "author_id", "part"),
        *("attempts", "next_attempt_at", "last_error", "created_at"),
    )
    list_filter = ("kind",)
    search_fields = ("=tweet_id", "=author_id")
    search_help_text = "The id of a tweet or of an author"
    ordering = ("-attempts", "id")
    show_full_result_count = False
    actions = ("retry_now",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Forbid it: triggers write the outbox."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: FanOut | None = None) -> bool:
        """Forbid it: rows can only be retried."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FanOut | None = None) -> bool:
        """Forbid it: a tweet without a row counts as delivered."""
        return False

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
            chosen = [row.pk for row in fan_outs.select_for_update()]
            count = FanOut.objects.filter(pk__in=chosen).update(next_attempt_at=ClockTimestamp())
        self.message_user(request, f"{count} fan-outs are due now.")


@admin.register(Flag)
class FlagAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("tweet_id", "author_id", "raised_at", "done_at")
    search_fields = ("=tweet_id", "=author_id")
    search_help_text = "The id of a tweet or of an author"
    ordering = ("raised_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Forbid it: workers raise flags."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Flag | None = None) -> bool:
        """Forbid it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Flag | None = None) -> bool:
        """Forbid it: a tweet could disappear that the reader has seen already."""
        return False
