"""Celery's way in. Arguments are ids; every task is safe to run twice."""

from celery import shared_task

from timelines import fanout


@shared_task(name="timelines.fan_out")
def fan_out(tweet_id: int, author_id: int) -> None:
    """Push a new tweet onto its author's followers' home timelines."""
    fanout.fan_out(tweet_id, author_id)


@shared_task(name="timelines.retract")
def retract(tweet_id: int, author_id: int) -> None:
    """Take a deleted tweet off its author's followers' home timelines."""
    fanout.retract(tweet_id, author_id)
