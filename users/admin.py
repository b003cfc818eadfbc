"""Users and follows in the admin. It stays fast with 100,000 of each."""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from users.models import Follow, User


def count_of(field: str) -> Coalesce:
    """Count the follows whose `field` is the outer query's user: an index-only scan per user."""
    follows = Follow.objects.filter(**{field: OuterRef("pk")}).order_by().values(field)
    counted = follows.annotate(n=Count("*")).values("n")
    return Coalesce(Subquery(counted), 0, output_field=IntegerField())


def column(name: str, model: str, field: str, text: str) -> Callable[[Any, User], str]:
    """Return a column that links to the admin's `model` rows whose `field` is the user."""

    @admin.display(description=name)
    def link(_: Any, user: User) -> str:
        address = f"{reverse(f'admin:{model}_changelist')}?{field}__id__exact={user.pk}"
        return format_html('<a href="{}">{}</a>', address, text.format(user))

    return link


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]  # not generic at run time
    followers = column("followers", "users_follow", "followed", "{0.follower_count:,}")
    following = column("follows", "users_follow", "follower", "{0.follow_count:,}")
    tweets = column("tweets", "tweets_tweet", "author", "their tweets")
    list_display = ("username", "id", "followers", "following", "is_staff", "date_joined")
    list_filter = ("is_staff", "is_active")
    search_fields = ("username",)
    ordering = ("-id",)
    show_full_result_count = False
    readonly_fields = ("followers", "following", "tweets")
    fieldsets = (
        (None, {"fields": ("username", "password", "followers", "following", "tweets")}),
        *cast(Any, DjangoUserAdmin.fieldsets)[1:],
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        counts = {"follower_count": count_of("followed"), "follow_count": count_of("follower")}
        users: QuerySet[User] = super().get_queryset(request)
        return users.annotate(**counts)


@admin.register(Follow)
class FollowAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = ("id", "follower", "followed", "created_at")
    list_select_related = ("follower", "followed")
    search_fields = ("=follower__username", "=followed__username")
    search_help_text = "The exact name of the follower or of the followed user"
    autocomplete_fields = ("follower", "followed")
    readonly_fields = ("created_at",)
    ordering = ("-id",)
    show_full_result_count = False
