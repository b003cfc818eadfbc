"""The endpoints of tweets, which need only Postgres."""

from functools import cache, partial
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
from api.paging import absolute_address, page_response
from api.schema import BAD_PAGE, IF_NONE_MATCH, NEWS, USER_ID, described, digits, parameter
from tweets import displayed
from tweets.idempotency import HEADER, KEY_PATTERN, REPLAYED, KeyReused, TweetGone, post_once
from tweets.models import Tweet
from tweets.posting import post
from tweets.serializers import NewTweetSerializer, TweetSerializer, to_json
from tweets.settled import settled
from users.authentication import InvalidToken, unconfirmed
from users.models import User

TWEET_ID = parameter("tweet_id", "path", digits(ID_DIGITS), "The tweet's id.")
KEY = parameter(
    HEADER,
    "header",
    {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
    "Makes the request safe to retry: for 24 hours a request by the same user with the same key "
    "and tweet gets the first response, and stores no second tweet. If the tweet has been deleted "
    "since, it gets 410. A UUID is a good key.",
)

POST_AS = "post as this user"


@cache
def new_tweet(is_open: bool) -> NewTweetSerializer:
    """Return the serializer of new tweets. To make one takes a twentieth of a POST's time."""
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

    def confirms(self, user_id: int) -> bool:
        """Return whether it is a POST."""
        return self.action == "create"

    @described(
        "listTweets",
        summary="All tweets",
        returns=TweetSerializer(many=True),
        errors=[BAD_PAGE, InvalidToken()],
        parameters=NEWS,
    )
    def list(self, request: Request) -> Response:
        """Return a page of all tweets, newest first."""
        return page_response(request, displayed.page, to_json, low=settled().value())

    @described(
        "postTweet",
        summary="Post a tweet",
        status=201,
        takes=NewTweetSerializer,
        returns=TweetSerializer,
        errors=[
            ValidationError({"message": ["This field may not be blank."]}),
            access.not_allowed(3, POST_AS, "tweets.add_tweet"),
            TweetGone(17),
            KeyReused(),
        ],
        parameters=[KEY],
    )
    def create(self, request: Request) -> Response:
        """Store a tweet. It is delivered to the author's followers in the background."""
        posted = new_tweet(access.is_open()).run_validation(request.data)
        message: str = posted["message"]
        author_id: int = posted.get("author_id", request.user.pk)
        bearer = unconfirmed(request)
        if bearer and author_id != request.user.pk:
            bearer.confirm()
            bearer = None
        access.check_acts_for(request, author_id, POST_AS, "tweets.add_tweet")
        key = request.headers.get(HEADER)
        if key is None:
            tweet, is_replay = post(author_id, message, bearer), False
        else:
            user_id = request.user.pk or author_id
            tweet, is_replay = post_once(user_id, key, author_id, message, bearer)
        if tweet is None:
            raise ValidationError({"userId": [f"There is no user {author_id}."]})
        headers = {"Location": f"{absolute_address(request)}/{tweet.id}"}
        if is_replay:
            headers[REPLAYED] = "true"
        return Response(to_json(tweet), status.HTTP_201_CREATED, headers=headers)

    @described(
        "getTweet",
        summary="One tweet",
        returns=TweetSerializer,
        errors=[InvalidToken(), no_such("tweet", 17)],
        parameters=[TWEET_ID, IF_NONE_MATCH],
    )
    def retrieve(self, request: Request, tweet_id: str) -> Response:
        """Return one tweet."""
        wanted = path_id(tweet_id, "tweet")
        tweet = displayed.one(wanted)
        if tweet is None:
            raise no_such("tweet", wanted)
        return Response(to_json(tweet))

    @described(
        "deleteTweet",
        summary="Delete a tweet",
        status=204,
        errors=[
            access.not_allowed(3, "delete tweet 17", "tweets.delete_tweet"),
            no_such("tweet", 17),
        ],
        parameters=[TWEET_ID],
    )
    def destroy(self, request: Request, tweet_id: str) -> Response:
        """Delete a tweet. From then on no response shows it. Its entries leave Redis soon after."""
        wanted = path_id(tweet_id, "tweet")
        tweet = Tweet.objects.filter(pk=wanted).first()
        if tweet is None:
            raise no_such("tweet", wanted)
        what = f"delete tweet {wanted}"
        access.check_acts_for(request, tweet.author_id, what, "tweets.delete_tweet")
        tweet.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @described(
        "userTimeline",
        summary="The tweets that a user posted",
        returns=TweetSerializer(many=True),
        errors=[BAD_PAGE, InvalidToken(), no_such("user", 3)],
        parameters=[USER_ID, *NEWS],
    )
    @action(detail=False, url_path=f"user/(?P<user_id>{PATH_ID})", url_name="user-timeline")
    def user_timeline(self, request: Request, user_id: str, **kwargs: Any) -> Response:
        """Return a page of the tweets that one user posted, newest first."""
        author_id = path_id(user_id, "user")
        make = partial(displayed.page_of_author, author_id)
        response = page_response(request, make, to_json, low=settled().value())
        if not response.data and not User.objects.filter(pk=author_id).exists():
            raise no_such("user", author_id)
        return response
