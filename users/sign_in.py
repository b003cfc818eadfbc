"""Signing in and out by token."""

from typing import cast

import knox.views
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from drf_spectacular.utils import extend_schema_view
from knox.models import AuthToken
from rest_framework import serializers, status
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.fields import ID, TextField
from api.limits import LOGINS
from api.schema import described
from users import logins, tokens
from users.authentication import CHALLENGE, Bearer, TokenAuthentication
from users.models import User
from users.serializers import MAX_PASSWORD, NamedUserSerializer


class LoginSerializer(NamedUserSerializer):
    """The body of a login."""

    example = {"username": "ben", "password": "a secret"}
    password = TextField(
        max_length=MAX_PASSWORD, trim_whitespace=False, help_text="The user's password."
    )


class Token(serializers.Serializer[None]):
    """A new token."""

    example = {"token": "0" * 64, "expiry": "2026-02-04T09:31:00Z", "userId": "2"}
    token = serializers.CharField(help_text="The token itself. It can't be shown again.")
    expiry = serializers.DateTimeField(help_text="When the token expires, in UTC.")
    userId = serializers.RegexField(ID, help_text="The id of the token's user.")  # noqa: N815


class LoginFailed(AuthenticationFailed):
    """A 401 that doesn't reveal what is wrong."""

    default_detail = "There is no active user with that name and password."


class LoginView(APIView):
    """Sign in."""

    authentication_classes = ()
    permission_classes = [AllowAny]
    serializer_class = LoginSerializer

    @property
    def throttle_scope(self) -> str:
        """The rate limit that applies: other methods are no login attempts."""
        return LOGINS if self.request.method == "POST" else "requests"

    def get_authenticate_header(self, request: Request) -> str:
        """Return the challenge, without which DRF would answer 403 instead of 401."""
        return CHALLENGE

    @described(
        "signIn",
        summary="Sign in",
        takes=LoginSerializer,
        returns=Token,
        errors=[ValidationError({"password": ["This field is required."]}), LoginFailed()],
    )
    def post(self, request: Request) -> Response:
        """Exchange a user's name and password for a token."""
        serializer = LoginSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = logins.sign_in(request._request, **serializer.validated_data)
        if user is None:
            raise LoginFailed
        try:
            token, secret = tokens.issue(user, settings.REST_KNOX["TOKEN_TTL"])
        except User.DoesNotExist:
            raise LoginFailed from None
        user_logged_in.send(type(user), request=request._request, user=user)
        body = {"token": secret, "expiry": token.expiry, "userId": str(user.pk)}
        return Response(body, headers={"Cache-Control": "no-store"})


@extend_schema_view(post=described("signOut", summary="Sign out", status=204, takes=None))
class LogoutView(knox.views.LogoutView):
    """Revoke the request's token."""

    authentication_classes = [TokenAuthentication]

    def post(self, request: Request) -> Response:
        """Revoke the request's token."""
        digest = cast(Bearer, request.auth).digest
        tokens.revoke(AuthToken.objects.filter(digest=digest), "signed out")
        return _signed_out(request)


@extend_schema_view(
    post=described("signOutEverywhere", summary="Sign out everywhere", status=204, takes=None)
)
class LogoutAllView(knox.views.LogoutAllView):
    """Revoke all tokens of the request's user."""

    authentication_classes = [TokenAuthentication]

    def post(self, request: Request) -> Response:
        """Revoke all tokens of the request's user."""
        tokens.revoke(AuthToken.objects.filter(user=request.user.pk), "signed out everywhere")
        return _signed_out(request)


def _signed_out(request: Request) -> Response:
    user_logged_out.send(type(request.user), request=request, user=request.user)
    return Response(status=status.HTTP_204_NO_CONTENT)
