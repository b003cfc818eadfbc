"""The outbox in the admin: what is pending, and what fails and why."""

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from timelines.models import FanOut


@admin.register(FanOut)
class FanOutAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = (
        *("id", "kind", "tweet_id", "author_id", "after_follower_id"),
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

    @admin.action(description="Retry now", permissions=["view"])
    def retry_now(self, request: HttpRequest, fan_outs: QuerySet[FanOut]) -> None:
        """Make the chosen rows due."""
        count = fan_outs.update(next_attempt_at=Now())
        self.message_user(request, f"{count} fan-outs are due now.")
