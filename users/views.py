"""The endpoints of users and follows."""

from functools import partial
from typing import Any

from django.conf import settings
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from api import access
from api.addresses import client_address
from api.errors import no_such
from api.fields import ID_DIGITS, PATH_ID, path_id
from api.limits import SIGN_UPS
from api.paging import absolute_address, page_response
from api.schema import BAD_PAGE, IF_NONE_MATCH, PAGE, USER_ID, described, digits, parameter
from users import accounts, following, listing
from users.authentication import InvalidToken
from users.listing import DisplayedUser
from users.models import User
from users.serializers import (
    MAX_NAME,
    NamedUserSerializer,
    NewUserSerializer,
    UserSerializer,
    to_json,
)

FOLLOWED_ID = parameter("followed_id", "path", digits(ID_DIGITS), "The followed user's id.")
USERNAME = parameter(
    "username",
    "query",
    {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
    "Only the user with exactly this name, in any form that Unicode calls compatible.",
)
WHAT = "change whom this user follows"
SCOPES = {"create": SIGN_UPS, "follow": "follows", "unfollow": "follows"}


class SignUpIsOff(PermissionDenied):
    """A 403 for everybody."""

    default_detail = "Nobody can sign up here: TWIT_SIGN_UP is off."


class UserViewSet(access.Guarded, GenericViewSet[User]):
    """All users, one user, and who follows whom."""

    queryset = User.objects.all()
    serializer_class = NewUserSerializer
    lookup_url_kwarg = "user_id"
    lookup_value_regex = PATH_ID

    @property
    def throttle_scope(self) -> str:
        """The rate limit that applies."""
        return SCOPES.get(self.action, "requests")

    def get_permissions(self) -> list[Any]:
        """Return no permissions for a sign-up, which needs no user."""
        return [] if self.action == "create" else super().get_permissions()

    @described(
        "listUsers",
        summary="All users",
        returns=UserSerializer(many=True),
        errors=[BAD_PAGE, InvalidToken()],
        parameters=[USERNAME, *PAGE],
    )
    def list(self, request: Request) -> Response:
        """Return a page of all users, newest first, or the user with the given name."""
        if "username" not in request.query_params:
            return page_response(request, listing.all_users, to_json)
        asked = NamedUserSerializer(data={"username": request.query_params["username"]})
        asked.is_valid(raise_exception=True)
        return page_response(
            request, partial(listing.named, asked.validated_data["username"]), to_json
        )

    @described(
        "signUp",
        summary="Sign up",
        status=201,
        takes=NewUserSerializer,
        returns=UserSerializer,
        errors=[ValidationError({"username": [accounts.TAKEN]}), InvalidToken(), SignUpIsOff()],
    )
    def create(self, request: Request) -> Response:
        """Create a user, if this server allows it."""
        if not settings.TWIT_SIGN_UP:
            raise SignUpIsOff
        serializer = NewUserSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = accounts.create(**serializer.validated_data)
        address = client_address(request) or "unknown"
        access.log.info("User %s signed up as %r from %s", user.pk, user.username, address)
        body = to_json(DisplayedUser(user.pk, user.username, user.date_joined))
        location = f"{absolute_address(request)}/{user.pk}"
        return Response(body, status.HTTP_201_CREATED, headers={"Location": location})

    @described(
        "getUser",
        summary="One user",
        returns=UserSerializer,
        errors=[InvalidToken(), no_such("user", 3)],
        parameters=[USER_ID, IF_NONE_MATCH],
    )
    def retrieve(self, request: Request, user_id: str) -> Response:
        """Return one user."""
        wanted = path_id(user_id, "user")
        user = listing.displayed(wanted)
        if user is None:
            raise no_such("user", wanted)
        return Response(to_json(user))

    @described(
        "listFollowed",
        summary="Whom a user follows",
        returns=UserSerializer(many=True),
        errors=[BAD_PAGE, InvalidToken(), no_such("user", 3)],
        parameters=[USER_ID, *PAGE],
    )
    @action(detail=True)
    def followed(self, request: Request, user_id: str) -> Response:
        """Return a page of the users whom a user follows, newest users first."""
        follower_id = path_id(user_id, "user")
        return page_response(request, partial(listing.followed_by, follower_id), to_json)

    @described(
        "listFollowers",
        summary="Who follows a user",
        returns=UserSerializer(many=True),
        errors=[BAD_PAGE, InvalidToken(), no_such("user", 3)],
        parameters=[USER_ID, *PAGE],
    )
    @action(detail=True)
    def followers(self, request: Request, user_id: str) -> Response:
        """Return a page of the users who follow a user, newest users first."""
        followed_id = path_id(user_id, "user")
        return page_response(request, partial(listing.followers_of, followed_id), to_json)

    @described(
        "follow",
        summary="Follow a user",
        status=204,
        takes=None,
        errors=[
            following.NOT_ONESELF,
            access.not_allowed(3, WHAT, "users.add_follow"),
            no_such("user", 3),
        ],
        parameters=[USER_ID, FOLLOWED_ID],
    )
    @action(detail=True, methods=["put"], url_path=f"followed/(?P<followed_id>{PATH_ID})")
    def follow(self, request: Request, user_id: str, followed_id: str) -> Response:
        """Make the first user follow the second. The next read of the home timeline shows it."""
        ids = path_id(user_id, "user"), path_id(followed_id, "user")
        access.check_acts_for(request, ids[0], WHAT, "users.add_follow")
        following.follow(*ids)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @described(
        "unfollow",
        summary="Unfollow a user",
        status=204,
        errors=[access.not_allowed(3, WHAT, "users.delete_follow"), no_such("user", 3)],
        parameters=[USER_ID, FOLLOWED_ID],
    )
    @follow.mapping.delete
    def unfollow(self, request: Request, user_id: str, followed_id: str) -> Response:
        """Make the first user unfollow the second. The next read of the home timeline shows it."""
        ids = path_id(user_id, "user"), path_id(followed_id, "user")
        access.check_acts_for(request, ids[0], WHAT, "users.delete_follow")
        following.unfollow(*ids)
        return Response(status=status.HTTP_204_NO_CONTENT)
