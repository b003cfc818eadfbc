"""What reading, rebuilding, delivering and waking count: each outcome has its label."""

from collections.abc import Callable
from threading import Semaphore

import pytest
from django.test import override_settings
from kombu.exceptions import OperationalError

from backends.valkey import Unavailable
from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import deliver_all, page
from tests.twit.test_metrics import Moved
from tests.valkey import client as valkey
from timelines.delivery import admitting, tasks
from timelines.delivery.rounds import run_round, tally
from timelines.lists import store, upkeep
from timelines.lists.store import list_key
from timelines.models import Admission
from timelines.reading import page as reading
from timelines.reading import pull, rebuild
from timelines.reading.pull import Snapshot
from twit.local.net import LOOPBACK, free_port
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ben(ben: User, alyssa: User) -> User:
    """Ben, who follows alyssa and has a list."""
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)
    return ben


@pytest.fixture
def dead_valkey() -> override_settings:
    return override_settings(REDIS_URL=f"redis://{LOOPBACK}:{free_port()}")


@pytest.mark.parametrize(
    ("reason", "outcome", "change"),
    [
        ("absent", "stored", lambda ben: upkeep.forget(ben.pk)),
        ("version", "stored", lambda ben: FollowFactory.create(follower=ben)),
        ("generation", "stored", lambda ben: admitting.renew()),
        ("not_admitted", "refused", lambda ben: Admission.objects.update(identity="another")),
        ("rebuilding", "under way", lambda ben: store.begin_rebuild(ben.pk)),
    ],
)
def test_a_list_that_is_not_believed_counts_by_reason_and_its_rebuild_by_outcome(
    ben: User, reason: str, outcome: str, change: Callable[[User], object]
) -> None:
    change(ben)
    unbelieved = Moved("twit_lists_not_believed_total", reason=reason)
    rebuilt = Moved("twit_rebuilds_total", outcome=outcome)
    pages = Moved("twit_pages_total", source="whole" if outcome == "stored" else "postgres")
    page(ben)
    assert (unbelieved(), rebuilt(), pages()) == (1, 1, 1)


def test_a_list_counts_as_late_each_time_that_it_was_read_too_long_ago(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LIST_SECONDS", 0)
    late = Moved("twit_lists_not_believed_total", reason="late")
    page(ben)
    assert late() == reading.READS


def test_a_list_whose_server_is_dead_is_unavailable(
    ben: User, dead_valkey: override_settings
) -> None:
    unavailable = Moved("twit_lists_not_believed_total", reason="unavailable")
    with dead_valkey:
        page(ben)
    assert unavailable() == 1


def test_a_page_counts_as_newest_or_mixed(
    ben: User, alyssa: User, list_size: Callable[..., None]
) -> None:
    list_size(cap=10, spacing=5)
    for _ in range(30):
        TweetFactory.create(author=alyssa)
        deliver_all()
    newest, mixed = (Moved("twit_pages_total", source=name) for name in ("newest", "mixed"))
    page(ben, limit=1)
    page(ben, limit=25)
    assert (newest(), mixed()) == (1, 1)


def test_a_rebuild_beyond_the_bound_counts_as_one_too_many(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "_permits", Semaphore(0))
    too_many = Moved("twit_rebuilds_total", outcome="too many")
    assert not rebuild.rebuild(ben.pk).is_stored
    assert too_many() == 1


def test_a_rebuild_whose_list_is_dropped_meanwhile_is_overtaken(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = pull.snapshot

    def read_and_forget(*arguments: object) -> Snapshot | None:
        upkeep.forget(ben.pk)
        return snapshot(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pull, "snapshot", read_and_forget)
    overtaken = Moved("twit_rebuilds_total", outcome="overtaken")
    assert not rebuild.rebuild(ben.pk).is_stored
    assert overtaken() == 1


def test_a_row_that_can_not_be_pushed_counts_as_failed(ben: User, alyssa: User) -> None:
    valkey().set(list_key(ben.pk), "no list")
    TweetFactory.create(author=alyssa)
    tally.flush()
    failed = Moved("twit_outbox_rows_total", outcome="failed")
    run_round()
    tally.flush()
    assert failed() == 1


def test_a_round_that_no_server_answers_counts_as_failed(
    ben: User, alyssa: User, dead_valkey: override_settings
) -> None:
    TweetFactory.create(author=alyssa)
    failed = Moved("twit_rounds_failed_total")
    with dead_valkey, pytest.raises(Unavailable):
        run_round()
    assert failed() == 1


@pytest.mark.parametrize(
    ("outcome", "error"), [("failed", OperationalError), ("late", TimeoutError)]
)
def test_a_wake_up_that_is_not_sent_counts_by_why(
    outcome: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(tasks, "_send", refuse)
    moved = Moved("twit_wake_ups_total", outcome=outcome)
    with pytest.raises(Unavailable):
        tasks.wake()
    assert moved() == 1


def test_a_wake_up_that_is_sent_counts() -> None:
    sent = Moved("twit_wake_ups_total", outcome="sent")
    tasks.wake()
    assert sent() == 1
