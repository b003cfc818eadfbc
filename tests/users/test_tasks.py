"""The daily clean-up of sign-ins."""

import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from knox.models import AuthToken

from tests.stack import CHECKOUT
from users.models import User
from users.tasks import clear_sign_ins

pytestmark = pytest.mark.django_db


def test_the_clean_up_deletes_expired_tokens_only(ben: User) -> None:
    lifetimes = {"good": timedelta(minutes=1), "endless": None, "over": timedelta(seconds=-1)}
    digests = {
        name: AuthToken.objects.create(ben, expiry=lifetime)[0].digest
        for name, lifetime in lifetimes.items()
    }
    clear_sign_ins()
    left = set(AuthToken.objects.values_list("digest", flat=True))
    assert left == {digests["good"], digests["endless"]}


def test_the_clean_up_deletes_expired_sessions_only(db: None) -> None:
    keys = []
    for seconds in (60, -60):
        session = SessionStore()
        session.set_expiry(seconds)
        session.create()
        keys.append(session.session_key)
    clear_sign_ins()
    assert list(Session.objects.values_list("session_key", flat=True)) == keys[:1]


def test_workers_know_every_scheduled_task_and_the_clean_ups_are_scheduled() -> None:
    code = "from twit.celery import app; app.loader.import_default_modules(); print(*app.tasks)"
    known = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.split()
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled <= set(known)
    assert {"users.clear_sign_ins", "tweets.clear_keys"} <= scheduled
