"""Signing in and out, by token or, for the browsable API and the admin, by session."""

import hashlib
from collections.abc import Sequence
from typing import Any

import knox.views
from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_logged_in
from drf_spectacular.utils import extend_schema_view
from knox.models import AuthToken
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from tweets import schema
from tweets.serializers import TextField
from twit.limits import Limit, count
from users.authentication import TokenAuthentication


class LoginLimit(Limit):
    """Failed logins from one address, and those to one account."""

    def keys(self, scope: str, request: Request) -> list[str]:
        """The address, and the user name that is tried."""
        data: Any = request.data
        return keys(self.get_ident(request), data.get("username") if hasattr(data, "get") else None)


def keys(address: str, username: object) -> list[str]:
    """What counts a login; the name is hashed, as it may be any text."""
    counted = [f"limit:logins:{address}"]
    if isinstance(username, str):
        account = hashlib.sha256(username.strip().encode("utf-8", "replace")).hexdigest()
        counted.append(f"limit:logins:{account}")
    return counted


def forgive(counted: Sequence[str]) -> None:
    """Take back what a login counted, as it succeeded."""
    count("logins", counted, by=-1)


class LoginSerializer(serializers.Serializer[None]):
    """The body of a login."""

    username = TextField(max_length=150, help_text="The user's name.")
    password = TextField(max_length=1000, trim_whitespace=False, help_text="The user's password.")


class Token(serializers.Serializer[None]):
    """A token and what it is good for."""

    token = serializers.CharField(help_text="The secret, which can't be shown again.")
    expiry = serializers.DateTimeField(help_text="Until when it is good, in UTC.")
    userId = serializers.RegexField(schema.ID, help_text="Whose it is.")  # noqa: N815


class LoginView(APIView):
    """Sign in."""

    authentication_classes = ()
    permission_classes = [AllowAny]
    serializer_class = LoginSerializer

    @property
    def throttle_scope(self) -> str:
        """What is no attempt is a request like others."""
        return "logins" if self.request.method == "POST" else "requests"

    def get_throttles(self) -> list[BaseThrottle]:
        """The limit of failed logins, or that of requests."""
        return [LoginLimit() if self.throttle_scope == "logins" else Limit()]

    def get_authenticate_header(self, request: Request) -> str:
        """What makes wrong credentials 401."""
        return "Token"

    @schema.described(
        "Sign in",
        200,
        Token,
        "A new token.",
        *(400, 401),
        example={"token": "0" * 64, "expiry": "2026-02-04T09:31:00Z", "userId": "2"},
        body={"username": "ben", "password": "a secret"},
        request=LoginSerializer,
    )
    def post(self, request: Request) -> Response:
        """Exchange a user's name and password for a token."""
        serializer = LoginSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = authenticate(request._request, **serializer.validated_data)
        if user is None:
            raise AuthenticationFailed("There is no active user of that name and password.")
        forgive(LoginLimit().keys("logins", request))
        token, secret = AuthToken.objects.create(user)
        user_logged_in.send(type(user), request=request._request, user=user)
        return Response({"token": secret, "expiry": token.expiry, "userId": str(user.pk)})


@extend_schema_view(
    post=schema.described("Sign out", 204, None, "The token is revoked.", request=None)
)
class LogoutView(knox.views.LogoutView):
    """Revoke the token that the request bears."""

    authentication_classes = [TokenAuthentication]


@extend_schema_view(
    post=schema.described(
        "Sign out everywhere", 204, None, "All the user's tokens are revoked.", request=None
    )
)
class LogoutAllView(knox.views.LogoutAllView):
    """Revoke all tokens of the user."""

    authentication_classes = [TokenAuthentication]


class LimitedForm(AuthenticationForm):
    """Django's form to sign in, with the limit of failed logins."""

    def clean(self) -> dict[str, Any]:
        """As Django has it. Raises ValidationError for wrong credentials, or too many of them."""
        assert self.request  # as Django's login views give it
        address = LoginLimit().get_ident(Request(self.request))
        counted = keys(address, self.cleaned_data.get("username"))
        window = count("logins", counted)
        if window and window.remaining < 0:
            raise forms.ValidationError(
                f"Too many failed logins: wait {window.seconds_left} seconds."
            )
        cleaned = super().clean()
        forgive(counted)
        return cleaned


class LimitedAdminForm(LimitedForm, AdminAuthenticationForm):
    """The same for the admin, which takes staff only."""
