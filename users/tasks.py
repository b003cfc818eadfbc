"""Housekeeping in the background."""

from celery import shared_task
from django.core.management import call_command


@shared_task(name="users.clear_sessions")
def clear_sessions() -> None:
    """Delete expired sign-in sessions from the database."""
    call_command("clearsessions")
