"""The login forms of the admin and of the browsable API."""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from rest_framework.request import Request

from users.failed_logins import LoginLimit, attempt, counters, forgive


class LimitedForm(AuthenticationForm):
    """Django's login form, with the limit of failed logins."""

    def clean(self) -> dict[str, Any]:
        """Check the credentials. Raises ValidationError for wrong ones, or too many failures."""
        assert self.request  # Django's login views pass it
        address = LoginLimit().get_ident(Request(self.request))
        keys = counters(address, self.cleaned_data.get("username"))
        usage = attempt(keys)
        if usage and usage.remaining < 0:
            raise forms.ValidationError(
                f"Too many failed logins: wait {usage.seconds_left} seconds."
            )
        cleaned = super().clean()
        forgive(keys)
        return cleaned


class LimitedAdminForm(LimitedForm, AdminAuthenticationForm):
    """The same for the admin, which accepts only staff."""
