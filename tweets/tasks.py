from datetime import timedelta

from celery import shared_task
from django.db.models.functions import Now

from backends.postgres import delete_in_slices
from tweets.models import IdempotencyKey

KEPT = timedelta(hours=25)  # longer than valid, so that no key goes while a request reads it


@shared_task(name="tweets.clear_keys")
def clear_keys() -> None:
    """Delete idempotency keys that are no longer valid."""
    delete_in_slices(IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT))
