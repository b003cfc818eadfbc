"""Tweets in the admin."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Field
from django.forms import Textarea
from django.http import HttpRequest

from api.admin import LongList, Rows
from api.fields import parse_id
from tweets.models import Tweet
from users.models import User

SEARCHED_TWEETS = 100_000  # by their messages, for which there is no index


@admin.register(Tweet)
class TweetAdmin(LongList):
    list_display = ("id", "author", "message", "created_at")
    list_select_related = ("author",)
    search_fields = ("message", "author")
    search_help_text = (
        "A part of the message (in the newest 100,000 tweets), the author's exact name, or the "
        "tweet's id"
    )
    autocomplete_fields = ("author",)
    readonly_fields = ("created_at",)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Follow the index that finds the tweets of one author."""
        return ("author_id", "-id") if "author__id__exact" in request.GET else self.ordering

    def found(self, term: str) -> Iterator[Rows]:
        if tweet_id := parse_id(term):
            yield Tweet.objects.filter(pk=tweet_id)
        yield Tweet.objects.filter(author__in=User.objects.filter(username=term)).order_by("-id")
        newest = Tweet.objects.order_by("-id")
        oldest = newest.values_list("pk", flat=True)[SEARCHED_TWEETS:].first() or 0
        yield newest.filter(pk__gt=oldest, message__icontains=term)

    def formfield_for_dbfield(
        self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Show a message in several lines."""
        if db_field.name == "message":
            kwargs["widget"] = Textarea(attrs={"rows": 4})
        return super().formfield_for_dbfield(db_field, request, **kwargs)
