"""Who sends a request: the bearer of a token."""

import knox.auth
from django.db.models import Q
from django.db.models.functions import Now
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from users.models import User


class TokenAuthentication(knox.auth.TokenAuthentication):
    """`Authorization: Token <token>`, with tokens as knox makes and stores them.

    knox also looks for the user's other tokens, to delete those that have expired; that is done
    daily here, and a request costs one query instead of two.
    """

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """The token's user, and the token. Raises AuthenticationFailed."""
        text = token.decode("latin-1")
        if not text.isalnum():  # as every token is
            raise AuthenticationFailed("Invalid token.")
        found = (
            AuthToken.objects.filter(digest=hash_token(text))
            .filter(Q(expiry__gt=Now()) | Q(expiry=None))
            .select_related("user")
            .first()
        )
        if found is None:
            raise AuthenticationFailed("Invalid token: unknown, expired or revoked.")
        user, _ = self.validate_user(found)
        return user, found
