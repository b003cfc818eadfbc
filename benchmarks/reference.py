"""Views to compare Twit's own views with, and the URLs of both."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from django.db import connection
from django.db.models import QuerySet
from django.urls import URLPattern, URLResolver, path
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, TokenAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle, UserRateThrottle
from rest_framework.views import APIView

from api.access import Guarded
from api.paging import page_response
from timelines.lists import store
from timelines.reading import pull
from timelines.reading.low_water import low_water
from tweets.models import Tweet
from tweets.serializers import to_json
from twit import urls

# The seed's schema has no indexes except the primary keys. Its query returns the whole timeline.
SEED_TABLES = """
    CREATE TABLE seed_user (id serial PRIMARY KEY, username varchar(30) NOT NULL);
    CREATE TABLE seed_tweet (id serial PRIMARY KEY, user_id integer, message varchar(160));
    CREATE TABLE seed_follower (
        id serial PRIMARY KEY, follower_id integer, followed_id integer
    );
    INSERT INTO seed_user SELECT id, username FROM users_user;
    INSERT INTO seed_tweet SELECT id, author_id, message FROM tweets_tweet;
    INSERT INTO seed_follower SELECT id, follower_id, followed_id FROM users_follow;
"""
SEED_JOIN = """
    SELECT seed_tweet.id, seed_tweet.user_id, seed_user.username, seed_tweet.message
    FROM seed_tweet
    JOIN seed_follower ON seed_follower.followed_id = seed_tweet.user_id
    JOIN seed_user ON seed_user.id = seed_tweet.user_id
    WHERE seed_follower.follower_id = %s
    ORDER BY seed_tweet.id DESC
"""


class Empty(Guarded, APIView):
    """A DRF view that does nothing.

    At /empty it passes through all of the middleware, as every request did once. At /tweets/empty
    it skips the middleware that is for people.
    """

    def get(self, request: Request) -> Response:
        """Return an empty array."""
        return Response([])

    def post(self, request: Request) -> Response:
        """Parse the body and return the number of its members."""
        return Response({"parsed": len(request.data)}, 201)


class TweetSerializer(serializers.ModelSerializer[Tweet]):
    """A displayed tweet, serialized in the most common way."""

    id = serializers.CharField()
    userId = serializers.CharField(source="author_id")  # noqa: N815 (the API's own names)
    userName = serializers.CharField(source="author.username")  # noqa: N815
    createdAt = serializers.DateTimeField(source="created_at")  # noqa: N815

    class Meta:
        model = Tweet
        fields = ("id", "userId", "userName", "message", "createdAt")


class Textbook(ListAPIView[Tweet]):
    """The same tweets by a ModelSerializer. It reads no list: the tweets' ids are cached."""

    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes = ()
    throttle_classes: Sequence[type[BaseThrottle]] = ()
    renderer_classes = (JSONRenderer,)
    serializer_class = TweetSerializer
    tweet_ids: ClassVar[dict[int, Sequence[int]]] = {}

    def get_queryset(self) -> QuerySet[Tweet]:
        """Return the 20 newest tweets, by ids that the first request of a user looks up."""
        user_id = self.kwargs["user_id"]
        ids = self.tweet_ids.get(user_id)
        if ids is None:
            listed = store.read(user_id)
            ids = self.tweet_ids[user_id] = listed.tweet_ids[-20:] if listed else []
        tweets = Tweet.objects.using("textbook").filter(pk__in=ids).select_related("author")
        return tweets.order_by("-id")


class Bearer(TokenAuthentication):
    """DRF's own tokens."""

    keyword = "Bearer"


class Throttle(UserRateThrottle):
    """DRF's own rate limit, in Redis. The limit is not reached."""

    rate = "1000/min"


class KnownTextbook(Textbook):
    """The same with a token and a rate limit."""

    authentication_classes = (Bearer,)
    throttle_classes = (Throttle,)


class Pull(Guarded, APIView):
    """The same page from Postgres alone: fan-out on read, by Twit's own fallback query."""

    def get(self, request: Request, user_id: int) -> Response:
        """Return a page, by default of 20 tweets."""
        return page_response(request, partial(pull.page, user_id), to_json, low=low_water().value())


class Seed(Guarded, APIView):
    """The seed's join of three tables."""

    def get(self, request: Request, user_id: int) -> Response:
        """Return the whole home timeline."""
        names = ("id", "userId", "userName", "message")
        with connection.cursor() as cursor:
            cursor.execute(SEED_JOIN, [user_id])
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return Response([dict(zip(names, row, strict=True)) for row in rows])


urlpatterns: list[URLPattern | URLResolver] = [
    *urls.urlpatterns,
    path("empty", Empty.as_view()),
    path("tweets/empty", Empty.as_view()),
    path("textbook/<int:user_id>", Textbook.as_view()),
    path("textbook/known/<int:user_id>", KnownTextbook.as_view()),
    path("pull/<int:user_id>", Pull.as_view()),
    path("seed/<int:user_id>", Seed.as_view()),
]
