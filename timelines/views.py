"""The home timeline's endpoint."""

from django.conf import settings
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from timelines.home import home_page
from tweets import schema
from tweets.paging import Window, page_response
from tweets.views import ID_PATTERN, no_such_user
from users.models import User
from users.permissions import check_acts_for


class HomeTimelineViewSet(ViewSet):
    """The tweets of everybody a user follows."""

    lookup_url_kwarg = "user_id"
    lookup_value_regex = ID_PATTERN

    def get_permissions(self) -> list[BasePermission]:
        """Readers are known by name, unless the API is open."""
        return [] if settings.TWIT_OPEN_API else [IsAuthenticated()]

    @schema.described(
        "A user's home timeline",
        200,
        schema.Tweet(many=True),
        "All tweets of all the people that the user follows, newest first.",
        *(400, 403, 404),
        example=schema.TWEET,
        parameters=[schema.USER_ID, *schema.PAGE],
    )
    def retrieve(self, request: Request, user_id: str) -> Response:
        """One page of the user's home timeline, newest first."""
        reader_id = int(user_id)
        check_acts_for(request, reader_id, "read this home timeline")
        window = Window.from_query(request.query_params)
        try:
            page = home_page(reader_id, window)
        except User.DoesNotExist:
            raise no_such_user(reader_id) from None
        return page_response(request, window, page)
