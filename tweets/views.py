"""The endpoints that only need Postgres."""

from functools import cache
from typing import Any

from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from api import access
from api.errors import no_such
from api.fields import ID_DIGITS, PATH_ID, path_id
from api.paging import Window, absolute_address, page_response
from api.schema import IF_NONE_MATCH, PAGE, USER_ID, described, digits, parameter
from tweets.idempotency import HEADER, KEY_PATTERN, post_once
from tweets.models import Tweet
from tweets.posting import post
from tweets.serializers import NewTweetSerializer, TweetSerializer, to_json
from users.models import User

TWEET_ID = parameter("tweet_id", "path", digits(ID_DIGITS), "The tweet's id.")
KEY = parameter(
    HEADER,
    "header",
    {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
    "Makes the request safe to retry: for 24 hours the same user's same key returns the first "
    "response and stores no second tweet. A UUID is a good key.",
)


@cache
def new_tweet(is_open: bool) -> NewTweetSerializer:
    """Return the serializer of new tweets. Making one for each POST takes a twentieth of it."""
    return NewTweetSerializer()


class TweetViewSet(access.Guarded, GenericViewSet[Tweet]):
    """All tweets, one tweet, and one author's tweets."""

    queryset = Tweet.objects.all()
    serializer_class = NewTweetSerializer
    lookup_url_kwarg = "tweet_id"
    lookup_value_regex = PATH_ID

    @property
    def throttle_scope(self) -> str:
        """The rate limit that applies: posts have their own."""
        return "posts" if self.action == "create" else "requests"

    @described(
        summary="All tweets", returns=TweetSerializer(many=True), errors=[400], parameters=PAGE
    )
    def list(self, request: Request) -> Response:
        """Return a page of all tweets, newest first."""
        window = Window.from_query(request.query_params)
        return page_response(request, window, Tweet.objects.all().page(window), to_json)

    @described(
        summary="Post a tweet",
        status=201,
        takes=NewTweetSerializer,
        returns=TweetSerializer,
        errors=[400, 422],
        parameters=[KEY],
    )
    def create(self, request: Request) -> Response:
        """Store a tweet; its fan-out follows in the background."""
        posted = new_tweet(access.is_open()).run_validation(request.data)
        message: str = posted["message"]
        author_id: int = posted.get("author_id", request.user.pk)
        access.check_acts_for(request, author_id, "post as this user", "tweets.add_tweet")
        key = request.headers.get(HEADER)
        if key is None:
            tweet = post(author_id=author_id, message=message)
        else:
            user_id = request.user.pk or author_id
            tweet = post_once(user_id, key, author_id=author_id, message=message)
        if tweet is None:
            raise ValidationError({"userId": [f"There is no user {author_id}."]})
        location = f"{absolute_address(request)}/{tweet.id}"
        return Response(to_json(tweet), status.HTTP_201_CREATED, headers={"Location": location})

    @described(
        summary="One tweet",
        returns=TweetSerializer,
        errors=[404],
        parameters=[TWEET_ID, IF_NONE_MATCH],
    )
    def retrieve(self, request: Request, tweet_id: str) -> Response:
        """Return one tweet."""
        wanted = path_id(tweet_id, "tweet")
        tweet = Tweet.objects.all().displayed(wanted)
        if tweet is None:
            raise no_such("tweet", wanted)
        return Response(to_json(tweet))

    @described(summary="Delete a tweet", status=204, errors=[404], parameters=[TWEET_ID])
    def destroy(self, request: Request, tweet_id: str) -> Response:
        """Delete a tweet. No response shows it any more; its entries leave Redis soon after."""
        wanted = path_id(tweet_id, "tweet")
        tweet = Tweet.objects.filter(pk=wanted).first()
        if tweet is None:
            raise no_such("tweet", wanted)
        what = f"delete tweet {wanted}"
        access.check_acts_for(request, tweet.author_id, what, "tweets.delete_tweet")
        tweet.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @described(
        summary="The tweets that a user posted",
        returns=TweetSerializer(many=True),
        errors=[400, 404],
        parameters=[USER_ID, *PAGE],
    )
    @action(detail=False, url_path=f"user/(?P<user_id>{PATH_ID})", url_name="user-timeline")
    def user_timeline(self, request: Request, user_id: str, **kwargs: Any) -> Response:
        """Return a page of the tweets that one user posted, newest first."""
        author_id = path_id(user_id, "user")
        window = Window.from_query(request.query_params)
        page = Tweet.objects.filter(author_id=author_id).page(window)
        if not page.items and not User.objects.filter(pk=author_id).exists():
            raise no_such("user", author_id)
        return page_response(request, window, page, to_json)
