"""The endpoints that Postgres alone answers."""

from typing import Any

from django.http import Http404
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from tweets.models import Tweet
from tweets.paging import Window, absolute_address, page_response
from tweets.serializers import DISPLAY_COLUMNS, NewTweetSerializer, displayed
from users.models import User

ID_PATTERN = "[0-9]{1,19}"  # as many digits as a 64-bit id has


def no_such_user(user_id: int) -> NotFound:
    """The 404 that names the user."""
    return NotFound(f"There is no user {user_id}.")


class TweetViewSet(GenericViewSet[Tweet]):
    """All tweets, one tweet, and one author's tweets."""

    queryset = Tweet.objects.all()
    serializer_class = NewTweetSerializer
    lookup_url_kwarg = "tweet_id"
    lookup_value_regex = ID_PATTERN

    def list(self, request: Request) -> Response:
        """All tweets, newest first."""
        window = Window.from_query(request.query_params)
        rows = window.select(Tweet.objects.all()).values_list(*DISPLAY_COLUMNS)
        return page_response(request, window, [displayed(row) for row in rows])

    def create(self, request: Request) -> Response:
        """Store a tweet; its fan-out follows in the background."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        row = Tweet.objects.post(**serializer.validated_data)
        if row is None:
            author_id = serializer.validated_data["author_id"]
            raise ValidationError({"userId": [f"There is no user {author_id}."]})
        location = f"{absolute_address(request)}/{row[0]}"
        return Response(displayed(row), status.HTTP_201_CREATED, headers={"Location": location})

    def retrieve(self, request: Request, tweet_id: str) -> Response:
        """One tweet."""
        row = Tweet.objects.filter(pk=int(tweet_id)).values_list(*DISPLAY_COLUMNS).first()
        if row is None:
            raise NotFound(f"There is no tweet {tweet_id}.")
        return Response(displayed(row))

    def destroy(self, request: Request, tweet_id: str) -> Response:
        """Delete a tweet; it is gone from every answer at once, from Redis soon after."""
        try:
            self.get_object().delete()
        except Http404:
            raise NotFound(f"There is no tweet {tweet_id}.") from None
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=False, url_path=f"user/(?P<user_id>{ID_PATTERN})", url_name="user-timeline")
    def user_timeline(self, request: Request, user_id: str, **kwargs: Any) -> Response:
        """The tweets that one user posted, newest first."""
        window = Window.from_query(request.query_params)
        tweets = Tweet.objects.filter(author_id=int(user_id))
        page = [displayed(row) for row in window.select(tweets).values_list(*DISPLAY_COLUMNS)]
        if not page and not User.objects.filter(pk=int(user_id)).exists():
            raise no_such_user(int(user_id))
        return page_response(request, window, page)
