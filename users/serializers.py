"""Users, passwords and tokens from and to JSON."""

from typing import Any

from rest_framework import serializers

from api.fields import ID, TextField
from users import accounts
from users.listing import DisplayedUser
from users.models import User
from users.tokens import KEY_PATTERN

MAX_NAME = 150  # code points
MAX_PASSWORD = 1000
CHOOSE = "At least 8 characters. It must not be common, only digits, or like the name."


def to_json(user: DisplayedUser) -> dict[str, object]:
    """Return the user as the API shows it."""
    user_id, username, created_at = user
    return {"id": str(user_id), "username": username, "createdAt": created_at}


class UserSerializer(serializers.Serializer[None]):
    """A user."""

    example = {"id": "3", "username": "louis", "createdAt": "2026-01-05T09:03:00Z"}
    id = serializers.RegexField(ID, help_text="A decimal number; later users have higher ones.")
    username = serializers.CharField(help_text="The user's name, which is unique.")
    createdAt = serializers.DateTimeField(  # noqa: N815 (the API's own name)
        help_text="When the user signed up or was created, in UTC."
    )


class NamedUserSerializer(serializers.Serializer[User]):
    """The name of a user."""

    username = TextField(
        max_length=MAX_NAME,
        help_text="The user's name: letters, digits and @ . + - _. It is stored in Unicode's form "
        "NFKC.",
    )

    def validate_username(self, username: str) -> str:
        """Return the name in the form in which Django's own forms store names."""
        return User.normalize_username(username)


class NewUserSerializer(NamedUserSerializer):
    """The body of a sign-up."""

    example = {"username": "eva", "password": "a long secret"}
    password = TextField(max_length=MAX_PASSWORD, trim_whitespace=False, help_text=CHOOSE)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raise ValidationError unless the user can be created."""
        accounts.check_new(attrs["username"], attrs.get("password"))
        return attrs


class PasswordChangeSerializer(serializers.Serializer[None]):
    """The body of a change of the password."""

    example = {"currentPassword": "a secret", "newPassword": "a long secret"}
    currentPassword = TextField(  # noqa: N815
        max_length=MAX_PASSWORD, trim_whitespace=False, help_text="The current password."
    )
    newPassword = TextField(  # noqa: N815
        max_length=MAX_PASSWORD, trim_whitespace=False, help_text=CHOOSE
    )


class IssuedTokenSerializer(serializers.Serializer[None]):
    """A valid token, without its secret."""

    example = {
        "id": "0123456789abcde",
        "createdAt": "2026-01-05T09:31:00Z",
        "expiresAt": "2026-02-04T09:31:00Z",
        "isCurrent": True,
    }
    id = serializers.RegexField(
        f"^{KEY_PATTERN}$", help_text="The first 15 characters of the token."
    )
    createdAt = serializers.DateTimeField(help_text="When it was created, in UTC.")  # noqa: N815
    expiresAt = serializers.DateTimeField(  # noqa: N815
        allow_null=True, help_text="When it expires, in UTC, or null if it does not."
    )
    isCurrent = serializers.BooleanField(  # noqa: N815
        help_text="Whether this request was sent with it."
    )
