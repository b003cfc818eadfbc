"""Celery's way in."""

from celery import shared_task

from timelines import fanout

# A task's share of a worker, after which it makes room for others, or for the worker's end.
SHARE_SECONDS = 2.0


@shared_task(name="timelines.fan_out")
def fan_out() -> None:
    """Work off the outbox: what a wake-up was sent for, and whatever else is pending."""
    if fanout.drain(SHARE_SECONDS):
        fan_out.delay()
