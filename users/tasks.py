from celery import shared_task
from django.core.management import call_command
from django.db.models.functions import Now
from knox.models import AuthToken


@shared_task(name="users.clear_sign_ins")
def clear_sign_ins() -> None:
    """Delete expired sessions and tokens."""
    call_command("clearsessions")
    AuthToken.objects.filter(expiry__lte=Now()).delete()
