from django.contrib import admin

from tweets.models import Tweet


@admin.register(Tweet)
class TweetAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = ("id", "author", "message", "created_at")
    list_select_related = ("author",)
    search_fields = ("message", "=author__username")
    search_help_text = "Words of the message, or the author's exact name"
    autocomplete_fields = ("author",)
    readonly_fields = ("created_at",)
    ordering = ("-id",)
    show_full_result_count = False
