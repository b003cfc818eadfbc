"""The endpoints that Postgres alone answers."""

from typing import Any

from django.http import Http404
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from tweets import schema
from tweets.idempotency import post_once
from tweets.models import Tweet
from tweets.paging import Window, absolute_address, page_response
from tweets.serializers import DISPLAY_COLUMNS, NewTweetSerializer, displayed
from users.models import User
from users.permissions import check_acts_for

NEW_TWEET = NewTweetSerializer()  # to make one for each POST takes a twentieth of its time
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

    @property
    def throttle_scope(self) -> str:
        """Posts have a limit of their own."""
        return "posts" if self.action == "create" else "requests"

    @schema.described(
        "All tweets",
        200,
        schema.Tweet(many=True),
        "Newest first.",
        400,
        example=schema.TWEET,
        parameters=schema.PAGE,
    )
    def list(self, request: Request) -> Response:
        """All tweets, newest first."""
        window = Window.from_query(request.query_params)
        rows = window.select(Tweet.objects.all()).values_list(*DISPLAY_COLUMNS)
        return page_response(request, window, [displayed(row) for row in rows])

    @schema.described(
        "Post a tweet",
        201,
        schema.Tweet,
        "The tweet, which is stored.",
        *(400, 403, 422),
        example=schema.TWEET,
        body={"userId": "3", "message": "hello"},
        parameters=[schema.KEY],
    )
    def create(self, request: Request) -> Response:
        """Store a tweet; its fan-out follows in the background."""
        posted = NEW_TWEET.run_validation(request.data)
        message: str = posted["message"]
        author_id: int = posted.get("author_id", request.user.pk)
        check_acts_for(request, author_id, "post as this user")
        key = request.headers.get("Idempotency-Key")
        if key is None:
            row = Tweet.objects.post(author_id=author_id, message=message)
        else:
            user_id = request.user.pk or author_id
            row = post_once(user_id, key, author_id=author_id, message=message)
        if row is None:
            raise ValidationError({"userId": [f"There is no user {author_id}."]})
        location = f"{absolute_address(request)}/{row[0]}"
        return Response(displayed(row), status.HTTP_201_CREATED, headers={"Location": location})

    @schema.described(
        "One tweet",
        200,
        schema.Tweet,
        "The tweet.",
        404,
        example=schema.TWEET,
        parameters=[schema.TWEET_ID, schema.IF_NONE_MATCH],
    )
    def retrieve(self, request: Request, tweet_id: str) -> Response:
        """One tweet."""
        row = Tweet.objects.filter(pk=int(tweet_id)).values_list(*DISPLAY_COLUMNS).first()
        if row is None:
            raise NotFound(f"There is no tweet {tweet_id}.")
        return Response(displayed(row))

    @schema.described(
        "Delete a tweet", 204, None, "It is gone.", 403, 404, parameters=[schema.TWEET_ID]
    )
    def destroy(self, request: Request, tweet_id: str) -> Response:
        """Delete a tweet; it is gone from every answer at once, from Redis soon after."""
        try:
            tweet = self.get_object()
        except Http404:
            raise NotFound(f"There is no tweet {tweet_id}.") from None
        check_acts_for(request, tweet.author_id, "delete this tweet")
        tweet.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @schema.described(
        "The tweets that a user posted",
        200,
        schema.Tweet(many=True),
        "Newest first.",
        *(400, 404),
        example=schema.TWEET,
        parameters=[schema.USER_ID, *schema.PAGE],
    )
    @action(detail=False, url_path=f"user/(?P<user_id>{ID_PATTERN})", url_name="user-timeline")
    def user_timeline(self, request: Request, user_id: str, **kwargs: Any) -> Response:
        """The tweets that one user posted, newest first."""
        window = Window.from_query(request.query_params)
        tweets = Tweet.objects.filter(author_id=int(user_id))
        page = [displayed(row) for row in window.select(tweets).values_list(*DISPLAY_COLUMNS)]
        if not page and not User.objects.filter(pk=int(user_id)).exists():
            raise no_such_user(int(user_id))
        return page_response(request, window, page)
