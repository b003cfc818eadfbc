"""Users and follows in the admin. It stays fast with 100,000 of each."""

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
    """Return an expression that counts the follows with the outer query's user as their `field`.

    It costs one index-only scan per user.
    """
    counted = (
        Follow.objects.filter(**{field: OuterRef("pk")})
        .order_by()
        .values(field)
        .annotate(n=Count("*"))
    )
    return Coalesce(Subquery(counted.values("n")), 0, output_field=IntegerField())


def listing_link(model: str, field: str, user: User, text: str) -> str:
    """Return a link to the admin's list of the `model` rows whose `field` is the user."""
    address = reverse(f"admin:{model}_changelist")
    return format_html('<a href="{}?{}__id__exact={}">{}</a>', address, field, user.pk, text)


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Users, with linked counts of their followers and follows."""

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

    @admin.display(description="followers")
    def followers(self, user: User) -> str:
        count = cast(Any, user).follower_count
        return listing_link("users_follow", "followed", user, f"{count:,}")

    @admin.display(description="follows")
    def following(self, user: User) -> str:
        count = cast(Any, user).follow_count
        return listing_link("users_follow", "follower", user, f"{count:,}")

    @admin.display(description="tweets")
    def tweets(self, user: User) -> str:
        return listing_link("tweets_tweet", "author", user, "their tweets")


@admin.register(Follow)
class FollowAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Who follows whom, newest first."""

    list_display = ("id", "follower", "followed", "created_at")
    list_select_related = ("follower", "followed")
    search_fields = ("=follower__username", "=followed__username")
    search_help_text = "The exact name of the follower or of the followed user"
    autocomplete_fields = ("follower", "followed")
    readonly_fields = ("created_at",)
    ordering = ("-id",)
    show_full_result_count = False
