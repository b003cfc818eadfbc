"""The rate limit of failed logins, by address and by account."""

import hashlib
from collections.abc import Sequence
from typing import Any

from rest_framework.request import Request

from api.limits import LOGINS, Limit, Usage, count


class LoginLimit(Limit):
    """The limit of failed logins from one address and of those to one account.

    A login counts before its password is checked, and is forgiven if it succeeds, so parallel
    guesses don't evade the limit.
    """

    def counters(self, scope: str, request: Request) -> list[str]:
        """Return the keys that count the address and the user name."""
        data: Any = request.data
        username = data.get("username") if hasattr(data, "get") else None
        return counters(self.get_ident(request), username)


def counters(address: str, username: object) -> list[str]:
    """Return the keys that count a login. The name is hashed, because it may be any text."""
    keys = [f"limit:{LOGINS}:{address}"]
    if isinstance(username, str):
        account = hashlib.sha256(username.strip().encode("utf-8", "replace")).hexdigest()
        keys.append(f"limit:{LOGINS}:{account}")
    return keys


def attempt(keys: Sequence[str]) -> Usage | None:
    """Count a login, as if it will fail; return the usage, or None if nothing is limited."""
    return count(LOGINS, keys)


def forgive(keys: Sequence[str]) -> None:
    """Take back the count of a login that succeeded."""
    count(LOGINS, keys, by=-1)
