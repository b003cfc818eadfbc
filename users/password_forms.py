"""The admin's form for the password of another user."""

from typing import Any

from django.contrib.auth.forms import AdminPasswordChangeForm
from django.http import Http404

from users.models import User


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]  # not generic at run time
    """Stores nothing but the password. What else happens to the user meanwhile stays.

    Django would write all columns, and insert a user again who has just been deleted.
    """

    def save(self, commit: bool = True) -> Any:
        """Return the user. Raises Http404 for a deleted one."""
        user = super().save(commit=False)
        if not User.objects.filter(pk=user.pk).update(password=user.password):
            raise Http404
        return user
