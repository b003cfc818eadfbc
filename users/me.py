"""The endpoints of the signed-in user. An open API asks for a user here too."""

from typing import cast

from django.contrib.auth import update_session_auth_hash
from rest_framework import status
from rest_framework.exceptions import NotAuthenticated, ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.errors import no_such
from api.limits import LOGINS
from api.schema import IF_NONE_MATCH, described, parameter
from users import accounts, listing, logins, tokens
from users.authentication import Bearer
from users.models import User
from users.serializers import (
    IssuedTokenSerializer,
    PasswordChangeSerializer,
    UserSerializer,
    to_json,
)

TOKEN_ID = parameter(
    "token_id", "path", {"type": "string", "pattern": f"^{tokens.KEY_PATTERN}$"}, "The token's id."
)
WRONG = {"currentPassword": ["This is not your password."]}


class MyView(APIView):
    """What the endpoints share."""

    permission_classes = [IsAuthenticated]

    @property
    def user_id(self) -> int:
        """The id of the signed-in user."""
        return cast(int, self.request.user.pk)

    @property
    def digest(self) -> str:
        """The digest of the request's token, or "" if a session signs it in."""
        token = self.request.auth
        return str(token.digest) if isinstance(token, Bearer) else ""


class MeView(MyView):
    """The signed-in user."""

    @described(
        "getMe", summary="The signed-in user", returns=UserSerializer, parameters=[IF_NONE_MATCH]
    )
    def get(self, request: Request) -> Response:
        """Return the user of the request's token or session."""
        user = listing.displayed(self.user_id)
        if user is None:  # deleted since the token was checked
            raise NotAuthenticated
        return Response(to_json(user))


class PasswordView(MyView):
    """The signed-in user's password."""

    serializer_class = PasswordChangeSerializer

    @property
    def throttle_scope(self) -> str:
        """The rate limit that applies: a change is also a guess of the current password."""
        return LOGINS if self.request.method == "PUT" else "requests"

    @described(
        "changePassword",
        summary="Change the password",
        status=204,
        takes=PasswordChangeSerializer,
        errors=[ValidationError(WRONG)],
    )
    def put(self, request: Request) -> Response:
        """Change the password. All other tokens and sessions of the user end."""
        user = User.objects.filter(pk=self.user_id).first()
        if user is None:  # deleted since the token was checked
            raise NotAuthenticated
        serializer = PasswordChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        current, new = (serializer.validated_data[f"{name}Password"] for name in ("current", "new"))
        if problems := accounts.password_problems(new, user):
            raise ValidationError({"newPassword": problems})
        if not logins.confirm(request, user, current):
            raise ValidationError(WRONG)
        if not accounts.change_password(user, new, kept_token=self.digest):
            raise ValidationError(WRONG)  # another request has just changed it
        if request.auth is None:
            update_session_auth_hash(request, user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class TokensView(MyView):
    """The tokens of the signed-in user."""

    @described(
        "listTokens",
        summary="The signed-in user's tokens",
        returns=IssuedTokenSerializer(many=True),
        parameters=[IF_NONE_MATCH],
    )
    def get(self, request: Request) -> Response:
        """Return all valid tokens of the user, newest first, without their secrets."""
        return Response(
            [
                {
                    "id": token.token_key,
                    "createdAt": token.created,
                    "expiresAt": token.expiry,
                    "isCurrent": token.digest == self.digest,
                }
                for token in tokens.valid(self.user_id)
            ]
        )


class TokenView(MyView):
    """One token of the signed-in user."""

    @described(
        "revokeToken",
        summary="Revoke a token",
        status=204,
        errors=[no_such("token", "0123456789abcde")],
        parameters=[TOKEN_ID],
    )
    def delete(self, request: Request, token_id: str) -> Response:
        """Revoke one of the user's tokens, which may be the request's own."""
        token = tokens.valid(self.user_id).filter(token_key=token_id)
        if not tokens.revoke(token, "by its user"):
            raise no_such("token", token_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
