"""Signing in and out by token."""

import knox.views
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from drf_spectacular.utils import extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.fields import ID, TextField
from api.limits import LOGINS
from api.schema import described
from users import logins, tokens
from users.authentication import SCHEME, TokenAuthentication
from users.models import User


class LoginSerializer(serializers.Serializer[None]):
    """The body of a login."""

    example = {"username": "ben", "password": "a secret"}
    username = TextField(max_length=150, help_text="The user's name.")
    password = TextField(max_length=1000, trim_whitespace=False, help_text="The user's password.")

    def validate_username(self, username: str) -> str:
        """Return the name in the form in which Django's own forms store names."""
        return User.normalize_username(username)


class Token(serializers.Serializer[None]):
    """A new token."""

    example = {"token": "0" * 64, "expiry": "2026-02-04T09:31:00Z", "userId": "2"}
    token = serializers.CharField(help_text="The token itself. It can't be shown again.")
    expiry = serializers.DateTimeField(help_text="When the token expires, in UTC.")
    userId = serializers.RegexField(ID, help_text="The id of the token's user.")  # noqa: N815


class LoginFailed(AuthenticationFailed):
    """A 401 that doesn't tell what is wrong."""

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
        """Return the scheme, without which DRF would answer 403 instead of 401."""
        return SCHEME

    @described(summary="Sign in", takes=LoginSerializer, returns=Token, errors=[400, 401])
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


@extend_schema_view(post=described(summary="Sign out", status=204, takes=None))
class LogoutView(knox.views.LogoutView):
    """Revoke the request's token."""

    authentication_classes = [TokenAuthentication]


@extend_schema_view(post=described(summary="Sign out everywhere", status=204, takes=None))
class LogoutAllView(knox.views.LogoutAllView):
    """Revoke all tokens of the request's user."""

    authentication_classes = [TokenAuthentication]
