"""Periodic clean-up."""

from celery import shared_task

from tweets import idempotency


@shared_task(name="tweets.clear_keys")
def clear_keys() -> None:
    """Delete idempotency keys that are no longer valid."""
    idempotency.clear_keys()
