from celery import shared_task
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from knox.models import AuthToken

from backends.postgres import delete_in_slices


@shared_task(name="users.clear_sign_ins")
def clear_sign_ins() -> None:
    """Delete expired sessions and tokens."""
    delete_in_slices(Session.objects.filter(expire_date__lte=Now()))
    delete_in_slices(AuthToken.objects.filter(expiry__lte=Now()))
