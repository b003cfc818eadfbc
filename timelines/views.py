"""The home timeline's endpoint."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from timelines.home import home_page
from tweets.paging import Window, page_response
from tweets.views import ID_PATTERN, no_such_user
from users.models import User


class HomeTimelineViewSet(ViewSet):
    """The tweets of everybody a user follows."""

    lookup_url_kwarg = "user_id"
    lookup_value_regex = ID_PATTERN

    def retrieve(self, request: Request, user_id: str) -> Response:
        """One page of the user's home timeline, newest first."""
        reader_id = int(user_id)
        window = Window.from_query(request.query_params)
        try:
            page = home_page(reader_id, window)
        except User.DoesNotExist:
            raise no_such_user(reader_id) from None
        return page_response(request, window, page)
