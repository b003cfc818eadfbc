"""Users, follows and tokens in the admin. It stays fast with millions of each."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import IntegerField, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.signals import post_init
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from knox.admin import AuthTokenAdmin
from knox.models import AuthToken

from api.access import log
from api.admin import MOST_COUNTED, LongList, Rows
from api.fields import parse_id
from users.models import Follow, User
from users.password_forms import PasswordForm
from users.sampling import most_followed

# An index-only scan for each user of the page.
COUNT = "(SELECT count(*) FROM (SELECT FROM users_follow WHERE {} = users_user.id LIMIT %s) AS row)"
SAMPLED = "(%s::bigint[])[array_position(%s::bigint[], users_user.id)]"


def count_of(field: str) -> RawSQL:
    """Count the follows whose `field` is the user, up to MOST_COUNTED."""
    return RawSQL(COUNT.format(field), [MOST_COUNTED], output_field=IntegerField())  # noqa: S611


def column(name: str, model: str, field: str, text: Callable[[Any], str]) -> Any:
    """Return a column that links to the admin's `model` rows whose `field` is the user."""

    @admin.display(description=name)
    def link(_: Any, user: User) -> str:
        address = f"{reverse(f'admin:{model}_changelist')}?{field}__id__exact={user.pk}"
        return format_html('<a href="{}">{}</a>', address, text(user))

    return link


def counted(count: int, estimate: int | None = None) -> str:
    """Return the number that `count_of` found, or if that was cut, an estimate."""
    if count < MOST_COUNTED:
        return f"{count:,}"
    if estimate:
        return f"about {max(estimate, count):,}"
    return f"{count:,} or more"


def named(term: str) -> Iterator[QuerySet[User]]:
    """Yield the users with exactly that name, and the one with that id."""
    yield User.objects.filter(username=term)
    if user_id := parse_id(term):
        yield User.objects.filter(pk=user_id)


class MostFollowed(admin.SimpleListFilter):
    """Lists big accounts, the biggest first. Sorting all users would take a count of each."""

    title = "followers (estimated)"
    parameter_name = "followers"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [("most", "Most first")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        if self.value() != "most":
            return queryset
        estimates = most_followed()
        ids, counts = list(estimates), list(estimates.values())
        estimate = RawSQL(SAMPLED, [counts, ids], output_field=IntegerField())  # noqa: S611
        return queryset.filter(pk__in=ids).annotate(estimate=estimate)


@admin.register(User)
class UserAdmin(LongList, DjangoUserAdmin):  # type: ignore[type-arg]  # not generic at run time
    followers = column(
        *("followers", "users_follow", "followed"),
        lambda user: counted(user.follower_count, getattr(user, "estimate", None)),
    )
    following = column(
        "follows", "users_follow", "follower", lambda user: counted(user.follow_count)
    )
    tweets = column("tweets", "tweets_tweet", "author", lambda _: "their tweets")
    tokens = column("tokens", "knox_authtoken", "user", lambda _: "their tokens")
    change_password_form = PasswordForm
    list_display = ("username", "id", "followers", "following", "is_staff", "date_joined")
    list_filter = (MostFollowed, "is_staff", "is_active")
    sortable_by = ("username", "id")
    search_fields = ("username",)
    search_help_text = "The beginning of the name, with its capital letters, or the id"
    readonly_fields = (
        *("followers", "following", "tweets", "tokens"),
        *("last_login", "date_joined"),
    )
    fieldsets = (
        (None, {"fields": ("username", "password", *readonly_fields)}),
        # Twit uses no other names and no e-mail addresses.
        *(part for part in cast(Any, DjangoUserAdmin.fieldsets) if part[0] == "Permissions"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return User.objects.order_by(*self.ordering).annotate(
            follower_count=count_of("followed_id"), follow_count=count_of("follower_id")
        )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the order of the list. Only MostFollowed adds an estimate."""
        by_followers = request.GET.get(MostFollowed.parameter_name) == "most"
        return ("-estimate", "id") if by_followers else self.ordering

    def found(self, term: str) -> Iterator[Rows]:
        yield from named(term)
        yield User.objects.filter(username__startswith=term)


@admin.register(Follow)
class FollowAdmin(LongList):
    list_display = ("id", "follower", "followed", "created_at")
    list_select_related = ("follower", "followed")
    search_fields = ("follower", "followed")
    search_help_text = "The exact name or the id of the follower or of the followed user"
    autocomplete_fields = ("follower", "followed")
    readonly_fields = ("created_at",)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Follow the index that finds one user's follows, or the user's followers."""
        if "followed__id__exact" in request.GET:
            return ("-followed_id", "-follower_id")
        if "follower__id__exact" in request.GET:
            return ("-follower_id", "-followed_id")
        return self.ordering

    def found(self, term: str) -> Iterator[Rows]:
        for users in named(term):
            for user in users:
                yield Follow.objects.filter(follower=user)
                yield Follow.objects.filter(followed=user)


apps.get_app_config("knox").verbose_name = "Tokens"
admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(LongList, AuthTokenAdmin):  # type: ignore[misc]  # knox is not typed
    list_display = ("token_key", "owner", "created", "expiry")
    list_select_related = ("user",)
    search_fields = ("token_key",)
    search_help_text = "The first 15 characters of a token, or its user's exact name or id"
    autocomplete_fields = ("user",)
    raw_id_fields = ()
    readonly_fields = ("token_key", "user", "created")
    ordering = ("-created",)
    sortable_by = ()

    def found(self, term: str) -> Iterator[Rows]:
        yield AuthToken.objects.filter(token_key=term)
        for users in named(term):
            yield AuthToken.objects.filter(user__in=users)

    def get_fields(self, request: HttpRequest, obj: AuthToken | None = None) -> Any:
        """Return the fields of a token, without its digest."""
        return (*self.readonly_fields, "expiry") if obj else super().get_fields(request, obj)

    @admin.display(description="user")
    def owner(self, token: AuthToken) -> str:
        """Link to the user."""
        address = reverse("admin:users_user_change", args=[token.user_id])
        return format_html('<a href="{}">{}</a>', address, token.user)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Show the token without its digest in the heading."""
        context = {**(extra_context or {}), "subtitle": None}
        return super().change_view(request, object_id, form_url, context)


# Not post_save, because the entries of several objects are stored in bulk.
@receiver(post_init, sender=LogEntry)
def note_entry(instance: LogEntry, **signal: Any) -> None:
    """Log an action in the admin, once it is committed."""
    if instance.pk is None:  # it is not read from the database
        transaction.on_commit(partial(_log_entry, instance))


def _log_entry(entry: LogEntry) -> None:
    kind = ContentType.objects.get_for_id(entry.content_type_id or 0)
    log.info("User %s in the admin: %s (%s %s)", entry.user_id, entry, kind, entry.object_id)
