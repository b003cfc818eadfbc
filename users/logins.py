"""The rate limit of failed logins, for the API and for the login forms.

A login counts before its password is checked, and is forgiven if it succeeds, so that parallel
guesses don't evade the limit. An attacker can block new logins to a victim's account for the
window; its tokens keep working.
"""

import hashlib
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from rest_framework.request import Request

from api.limits import LOGINS, Limit, count


class LoginLimit(Limit):
    """The limit of failed logins from one address, and of those to one account."""

    scope = LOGINS

    def counters(self, scope: str, request: Request) -> list[str]:
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


class LimitedForm(AuthenticationForm):
    """Django's login form, with the limit of failed logins."""

    def clean(self) -> dict[str, Any]:
        """Check the credentials. Raises ValidationError for wrong ones, or too many failures."""
        assert self.request  # Django's login views pass it
        address = LoginLimit().get_ident(Request(self.request))
        keys = counters(address, self.cleaned_data.get("username"))
        usage = count(LOGINS, keys)
        if usage and usage.remaining < 0:
            problem = f"Too many failed logins: wait {usage.seconds_left} seconds."
            raise forms.ValidationError(problem)
        cleaned = super().clean()
        count(LOGINS, keys, by=-1)  # forgive it
        return cleaned


class LimitedAdminForm(LimitedForm, AdminAuthenticationForm):
    """The same for the admin, which accepts only staff."""
