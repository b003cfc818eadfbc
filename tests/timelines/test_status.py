"""The state of things, on the admin's start page."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from tests.factories import TweetFactory
from timelines import status
from timelines.models import FanOut, Flag
from timelines.signs import MOST_COUNTED
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No worker answers, and none is remembered."""

    def refuse() -> None:
        raise OperationalError

    monkeypatch.setattr(status, "broker_status", refuse)
    status.workers.cache_clear()
    yield
    status.workers.cache_clear()


def test_a_glance_counts_what_is_pending_and_failing(ben: User) -> None:
    tweets = TweetFactory.create_batch(3, author=ben)
    FanOut.objects.filter(tweet_id=tweets[0].pk).update(attempts=1)
    Flag.objects.create(tweet_id=tweets[0].pk, author_id=ben.pk)
    Flag.objects.create(tweet_id=tweets[1].pk, author_id=ben.pk, done_at=timezone.now())
    seen = status.glance()
    assert (seen.pending, seen.failing, seen.flags) == (3, 1, 1)
    assert 0 <= (seen.oldest_seconds or -1) < 60
    assert seen.admitted_slots == 16_384


def test_a_glance_at_an_empty_outbox_knows_no_oldest_fan_out() -> None:
    assert status.glance().oldest_seconds is None


def test_a_glance_counts_no_more_than_the_oldest_fan_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    TweetFactory.create_batch(3)
    few = status.GLANCE.replace(f"LIMIT {MOST_COUNTED}", "LIMIT 2")
    monkeypatch.setattr(status, "GLANCE", few)
    assert status.glance().pending == 2


def test_the_state_is_shown_though_the_broker_fails(admin_client: Client) -> None:
    TweetFactory.create()
    state = admin_client.get("/admin/state/").json()
    assert state["pending"] == 1
    assert state["workers"] is None


def test_the_workers_are_asked_once_for_several_glances(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "WORKERS_SECONDS", 600)
    answers = iter([(["one"], 0), (["two"], 0)])
    monkeypatch.setattr(status, "broker_status", lambda: next(answers))
    asked = [admin_client.get("/admin/state/").json()["workers"] for _ in range(2)]
    assert asked == [["one"], ["one"]]


def test_the_state_takes_a_permission(client: Client) -> None:
    staff = User.objects.create(username="staff", is_staff=True)
    client.force_login(staff)
    assert client.get("/admin/state/").status_code == 403
    assert 'id="state"' not in client.get("/admin/").content.decode()
    staff.user_permissions.add(Permission.objects.get(codename="view_fanout"))
    assert client.get("/admin/state/").status_code == 200
    assert 'id="state"' in client.get("/admin/").content.decode()
    client.logout()
    assert client.get("/admin/state/")["Location"].startswith("/admin/login/")
