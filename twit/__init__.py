"""Twit's wiring. Importing it makes the Celery application the current one, as Celery asks."""

from twit.celery import app as celery_app

__all__ = ["celery_app"]
