"""The home timeline's endpoint."""

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api import access
from api.errors import no_such
from api.fields import PATH_ID, path_id
from api.paging import Window, page_response
from api.schema import PAGE, USER_ID, described
from timelines.reading.page import home_page
from tweets.serializers import TweetSerializer, to_json
from users.models import User


class HomeTimelineViewSet(access.Guarded, ViewSet):
    """The tweets of everybody whom a user follows."""

    permission_classes = [IsAuthenticated]
    lookup_url_kwarg = "user_id"
    lookup_value_regex = PATH_ID

    @described(
        summary="A user's home timeline",
        returns=TweetSerializer(many=True),
        errors=[400, 403, 404],
        parameters=[USER_ID, *PAGE],
    )
    def retrieve(self, request: Request, user_id: str) -> Response:
        """Return one page of the user's home timeline, newest first."""
        reader_id = path_id(user_id, "user")
        access.check_acts_for(request, reader_id, "read this home timeline", "users.view_follow")
        window = Window.from_query(request.query_params)
        try:
            page = home_page(reader_id, window)
        except User.DoesNotExist:
            raise no_such("user", reader_id) from None
        return page_response(request, window, page, to_json)
