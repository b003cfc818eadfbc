"""The admin's form for the password of another user."""

from typing import Any

from django.contrib.auth.forms import AdminPasswordChangeForm

from api.admin import store


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]  # not generic at run time
    """Stores nothing but the password."""

    def save(self, commit: bool = True) -> Any:
        """Return the user. Raises Http404 if the user has been deleted."""
        user = super().save(commit=False)
        store(user, ["password"])
        return user
