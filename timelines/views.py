"""The endpoints of home timelines and deliveries."""

from contextlib import suppress
from functools import partial
from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api import access
from api.addresses import counted_address
from api.errors import no_such
from api.fields import PATH_ID, parse_id, path_id
from api.json import AnyMediaType
from api.paging import Window, page_response
from api.resuming import resumed_from
from api.schema import BAD_CURSOR, BAD_PAGE, IF_NONE_MATCH, NEWS, RESUME, USER_ID, described
from api.streams import MEDIA_TYPE, StreamResponse
from timelines.delivery.progress import COUNTED_FOLLOWERS, progress
from timelines.reading.page import Early, begin, cursor_of_now, home_page
from timelines.streaming.bounds import TooManyStreams
from timelines.streaming.hub import hub
from tweets.serializers import TweetSerializer, to_json
from tweets.views import TWEET_ID
from users.authentication import InvalidToken, unconfirmed
from users.grants import Grant
from users.models import VIEW_FOLLOWS, User

READ = "read this home timeline"


class HomeTimelineViewSet(access.Guarded, ViewSet):
    """The tweets of everybody whom a user follows."""

    permission_classes = [IsAuthenticated]
    lookup_url_kwarg = "user_id"
    lookup_value_regex = PATH_ID
    early: Early | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the request, as DRF does, while the list is being read.

        The list is not read early for requests that are refused at once.
        """
        reader_id = parse_id(self.kwargs["user_id"])
        if self.action == "retrieve" and reader_id and access.may_be_known(request):
            with suppress(ValidationError):
                self.early = begin(reader_id, Window.from_query(request.query_params))
        super().initial(request, *args, **kwargs)

    def confirms(self, user_id: int) -> bool:
        """Return whether it is a page of that user's home timeline."""
        return self.action == "retrieve" and self.kwargs["user_id"] == str(user_id)

    @described(
        "homeTimeline",
        summary="A user's home timeline",
        returns=TweetSerializer(many=True),
        errors=[BAD_PAGE, access.not_allowed(3, READ, VIEW_FOLLOWS), no_such("user", 3)],
        parameters=[USER_ID, *NEWS],
    )
    def retrieve(self, request: Request, user_id: str) -> Response:
        """Return one page of the user's home timeline, newest first."""
        reader_id = path_id(user_id, "user")
        access.check_acts_for(request, reader_id, READ, VIEW_FOLLOWS)
        early = self.early or begin(reader_id, Window.from_query(request.query_params))
        try:
            make = partial(home_page, reader_id, bearer=unconfirmed(request), early=early)
            return page_response(request, make, to_json, low=early.low)
        except User.DoesNotExist:
            raise no_such("user", reader_id) from None

    @described(
        "streamHomeTimeline",
        summary="New tweets of a home timeline, as they arrive",
        returns=OpenApiTypes.STR,
        media_type=MEDIA_TYPE,
        errors=[
            BAD_CURSOR,
            access.not_allowed(3, READ, VIEW_FOLLOWS),
            no_such("user", 3),
            TooManyStreams(20, "of user 3"),
        ],
        parameters=[USER_ID, *RESUME],
    )
    @action(detail=True, content_negotiation_class=AnyMediaType, answers_at_once=True)
    def stream(self, request: Request, user_id: str) -> StreamResponse:
        """Return server-sent events: `tweet`, the oldest first, and `gone` for those to remove."""
        reader_id = path_id(user_id, "user")
        access.check_acts_for(request, reader_id, READ, VIEW_FOLLOWS)
        cursor = resumed_from(request)
        try:
            if cursor is None:
                cursor = cursor_of_now(reader_id)
            else:
                User.objects.only("id").get(pk=reader_id)
        except User.DoesNotExist:
            raise no_such("user", reader_id) from None
        if request.method == "HEAD":
            return StreamResponse(None)
        # Events are not compressed, so that they arrive at once.
        request.META.pop("HTTP_ACCEPT_ENCODING", None)
        grant = Grant() if access.is_open() else Grant.of(request)
        return StreamResponse(
            hub().open(
                reader_id,
                cursor,
                partial(may_still_read, grant, reader_id),
                digest=grant.digest,
                user_id=request.user.pk,
                address=counted_address(request),
            )
        )


def may_still_read(grant: Grant, reader_id: int) -> bool:
    """Return whether that token or session still allows reading this home timeline."""
    if access.is_open():
        return True
    user = grant.user()
    return user is not None and access.acts_for(user, reader_id, VIEW_FOLLOWS)


class DeliverySerializer(serializers.Serializer[None]):
    """How far the delivery of a tweet is."""

    example = {"isDone": True, "followers": 3, "reached": 3}
    isDone = serializers.BooleanField(  # noqa: N815 (the API's own name)
        help_text="Whether no delivery of the tweet is pending."
    )
    followers = serializers.IntegerField(
        min_value=0,
        max_value=COUNTED_FOLLOWERS,
        help_text=f"The author's followers: at most the {COUNTED_FOLLOWERS:,} with the lowest ids.",
    )
    reached = serializers.IntegerField(
        min_value=0,
        max_value=COUNTED_FOLLOWERS,
        help_text="How many of them need no further delivery.",
    )


class DeliveryViewSet(access.Guarded, ViewSet):
    """How far the delivery of a tweet is."""

    lookup_url_kwarg = "tweet_id"
    lookup_value_regex = PATH_ID

    @described(
        "getDelivery",
        summary="How far a tweet's delivery is",
        returns=DeliverySerializer,
        errors=[InvalidToken(), no_such("tweet", 17)],
        parameters=[TWEET_ID, IF_NONE_MATCH],
    )
    @action(detail=True)
    def delivery(self, request: Request, tweet_id: str) -> Response:
        """Return how many of the author's followers the tweet has reached."""
        wanted = path_id(tweet_id, "tweet")
        found = progress(wanted)
        if found is None:
            raise no_such("tweet", wanted)
        is_done, followers, reached = found
        return Response({"isDone": is_done, "followers": followers, "reached": reached})
