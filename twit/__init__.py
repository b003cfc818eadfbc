"""Wiring. Importing it makes Twit's Celery application the current one."""

from twit.celery import app as celery_app

__all__ = ["celery_app"]
