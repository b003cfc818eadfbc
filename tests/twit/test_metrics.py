"""Metrics: they move when something happens, they are served, and the documents list them."""

import json
import math
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from unittest.mock import patch

import httpx
import pytest
import yaml
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings
from prometheus_client import REGISTRY, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families

from backends.breaker import Breaker
from backends.servers import server
from backends.valkey import CommandRefused, Unavailable
from tests.factories import TweetFactory
from tests.prometheus import CONFIGURATION, needs_prometheus
from tests.raw import Raw
from tests.stack import CHECKOUT, Stack, wait_until
from tests.streamer import Streamer
from tests.timelines.lists import deliver_all
from timelines.delivery import admitting, tasks
from timelines.delivery.rounds import tally
from timelines.lists import upkeep
from timelines.models import Admission, FanOut, Sighting
from timelines.signs import HEARTBEAT
from timelines.state import State
from tweets.models import Tweet
from twit.local.net import LOOPBACK, free_port
from twit.metrics import FOLDER, Processes, serve
from users.models import Follow, User

pytestmark = pytest.mark.django_db
DOCUMENT = (CHECKOUT / "docs/metrics.md").read_text()
ROWS = re.findall(r"^\| `(twit_\w+)` \| (\w+) \| (.*?) ?\| ", DOCUMENT, re.MULTILINE)


class Moved:
    """By how much a metric has moved since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self.name, self.labels = name, labels
        self.before = self._value()

    def _value(self) -> float:
        return REGISTRY.get_sample_value(self.name, self.labels) or 0

    def __call__(self) -> float:
        return self._value() - self.before


def asked() -> list[Metric]:
    """Return what a scrape asks for, in a thread: it closes its connections."""
    found: list[Metric] = []
    thread = Thread(target=lambda: found.extend(State().collect()))
    thread.start()
    thread.join()
    return found


def counted() -> list[Metric]:
    return [metric for metric in REGISTRY.collect() if metric.name.startswith("twit_")]


def test_a_request_counts_under_the_name_of_its_view(ben: User) -> None:
    name = "twit_request_seconds_count"
    found = Moved(name, method="GET", endpoint="tweet-list", status="2xx")
    lost = Moved(name, method="other", endpoint="other", status="4xx")
    Client().get("/tweets")
    Client().generic("FREELY-CHOSEN", "/also/freely/chosen")
    assert (found(), lost()) == (1, 1)


def test_probes_do_not_count() -> None:
    names = {sample.labels.get("endpoint") for metric in counted() for sample in metric.samples}
    Client().get("/livez")
    assert names == {s.labels.get("endpoint") for metric in counted() for s in metric.samples}


def test_a_page_counts_by_its_source_and_a_list_by_why_it_is_not_believed(
    ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    absent = Moved("twit_lists_not_believed_total", reason="absent")
    stored = Moved("twit_rebuilds_total", outcome="stored")
    old = Moved("twit_lists_not_believed_total", reason="version")
    whole = Moved("twit_pages_total", source="whole")
    path = f"/tweets/followed/{ben.pk}"
    Client().get(path)
    follow(ben, alyssa)
    Client().get(path)
    Client().get(path)
    assert (absent(), stored(), old(), whole()) == (1, 2, 1, 3)


def test_without_an_admitted_server_pages_come_from_postgres(ben: User) -> None:
    upkeep.forget(ben.pk)
    Admission.objects.update(identity="")
    refused = Moved("twit_rebuilds_total", outcome="refused")
    pages = Moved("twit_pages_total", source="postgres")
    Client().get(f"/tweets/followed/{ben.pk}")
    assert (refused(), pages()) == (1, 1)


def test_a_delivery_counts_with_its_rounds_and_its_arrival(
    ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa)
    Client().get(f"/tweets/followed/{ben.pk}")
    TweetFactory.create(author=alyssa)
    tally.flush()  # what rounds of other tests have counted
    moved = [Moved("twit_deliveries_total"), Moved("twit_arrival_seconds_count")]
    moved += [Moved("twit_rounds_total"), Moved("twit_outbox_rows_total", outcome="finished")]
    seconds = [Moved("twit_round_seconds_total", phase=p) for p in ("claim", "push", "finish")]
    deliver_all()
    tally.flush()
    assert [each() for each in moved] == [1] * 4
    assert all(each() > 0 for each in seconds)


def test_wake_ups_count() -> None:
    taken = Moved("twit_wake_ups_taken_total")
    needless = Moved("twit_wake_ups_total", outcome="under way")
    with server("LIMITS_URL").connection() as connection:
        connection.ask(("SET", tasks.WAKE_KEY, 1))
    tasks.wake()
    tasks.take_wake_up()
    assert (needless(), taken()) == (1, 1)


def test_an_admission_counts() -> None:
    Admission.objects.all().delete()
    moved = Moved("twit_admission_changes_total", to="server")
    admitting.sweep()
    assert moved() == 1


@pytest.mark.parametrize(
    ("kind", "error"), [("refused", CommandRefused("out of memory")), ("silent", TimeoutError())]
)
def test_failures_of_valkey_count_by_node(kind: str, error: Exception) -> None:
    valkey = server("LIMITS_URL")
    moved = Moved("twit_valkey_errors_total", node=valkey.address.node, kind=kind)
    with pytest.raises(Unavailable), valkey.connection():
        raise error
    assert moved() == 1


def test_a_breaker_says_whether_it_is_open_and_how_often_it_was_tripped() -> None:
    breaker = Breaker(60, "valkey:1")
    is_open = Moved("twit_valkey_breakers_open", node="valkey:1")
    trips = Moved("twit_valkey_breaker_trips_total", node="valkey:1")
    for _ in range(2):
        breaker.trip()
    assert (is_open(), trips()) == (1, 2)
    breaker.reset()
    assert is_open() == 0


@override_settings(TWIT_LIMITS={"requests": (1, 60)})
def test_a_request_beyond_a_limit_counts() -> None:
    moved = Moved("twit_limits_hit_total", scope="requests")
    for _ in range(2):
        Client().get("/tweets")
    assert moved() == 1


def test_a_failed_login_counts(ben: User) -> None:
    moved = Moved("twit_logins_failed_total")
    Client().post("/auth/login", {"username": "ben", "password": "wrong"})
    assert moved() == 1


@pytest.mark.django_db(transaction=True)
def test_the_outbox_is_asked_for_at_a_scrape(ben: User) -> None:
    TweetFactory.create_batch(2, author=ben)
    FanOut.objects.filter(pk=FanOut.objects.earliest("id").pk).update(attempts=1)
    Admission.objects.update(identity="", last_slot=99)
    values = {metric.name: metric.samples[0].value for metric in asked()}
    assert (values["twit_outbox_pending"], values["twit_outbox_failing"]) == (2, 1)
    assert 0 < values["twit_outbox_oldest_seconds"] < 60
    assert 0 <= values["twit_sweep_age_seconds"] < 60
    assert values["twit_slots_without_server"] == 16_384
    assert (values["twit_postgres_up"], values["twit_valkey_up"]) == (1, 1)
    assert values["twit_valkey_memory_bytes"] > 0


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_is_no_sweep() -> None:
    Sighting.objects.all().delete()
    admitting.see(HEARTBEAT)
    values = {metric.name: metric.samples[0].value for metric in asked()}
    assert values["twit_sweep_age_seconds"] == math.inf


@pytest.mark.django_db(transaction=True)
def test_a_dead_valkey_is_down() -> None:
    with override_settings(REDIS_URL=f"redis://{LOOPBACK}:{free_port()}"):
        values = {metric.name: metric.samples for metric in asked()}
    assert [sample.value for sample in values["twit_valkey_up"]] == [0]
    assert not values["twit_valkey_memory_bytes"]


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    described = {}
    for metric in [*counted(), *asked()]:
        suffix = "_total" if metric.type == "counter" else ""
        described[metric.name + suffix] = metric.type
    assert described == {name: type_ for name, type_, _ in ROWS}
    labels = {name: set(re.findall(r"`(\w+)`", cell)) for name, _, cell in ROWS}
    for metric in [*counted(), *asked()]:
        for sample in metric.samples:
            name = re.sub(r"_(bucket|sum|count|created)$", "", sample.name)
            if name in labels:
                assert set(sample.labels) - {"le"} == labels[name], sample


def expressions() -> list[str]:
    """Return those of the dashboard and of the alerts."""
    panels = json.loads((CHECKOUT / "deploy/grafana/twit.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return found + [rule["expr"] for rule in rules()]


def rules() -> list[dict[str, str]]:
    alerts = yaml.safe_load((CHECKOUT / "deploy/prometheus/alerts.yml").read_text())
    found: list[dict[str, str]] = alerts["groups"][0]["rules"]
    return found


def test_dashboard_and_alerts_use_documented_metrics() -> None:
    known = {name for name, *_ in ROWS}
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "sum", "count")}
    used = {name for text in expressions() for name in re.findall(r"\btwit_\w+", text)}
    assert len(used) > 20
    assert used <= known


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    text = (CHECKOUT / "docs/operations.md").read_text().partition("## Alerts")[2]
    entries = re.findall(r"^### (Twit\w+)$", text, re.MULTILINE)
    assert entries == [rule["alert"] for rule in rules()]


def scrape(port: int, **labels: str) -> dict[str, float]:
    """Return what is served by name, summed up over the samples with these labels."""
    text = httpx.get(f"http://{LOOPBACK}:{port}/metrics", trust_env=False, timeout=30).text
    found = Counter[str]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if labels.items() <= sample.labels.items():
                found[sample.name] += sample.value  # type: ignore[assignment]
    return found  # type: ignore[return-value]


@pytest.mark.django_db(transaction=True)
def test_a_service_serves_the_metrics_of_all_its_processes(stack: Stack) -> None:
    port = free_port()
    client = stack.start_web(processes=2, TWIT_METRICS_WEB=str(port))
    for _ in range(20):
        client.get("/tweets/followed/1", headers={"Connection": "close"})
    served = scrape(port)
    assert served["twit_lists_not_believed_total"] == 20
    assert served["twit_postgres_up"] == 1


@pytest.mark.django_db(transaction=True)
def test_streams_and_refused_requests_count(
    stack: Stack, ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa)
    port = free_port()
    stack.start_web(TWIT_METRICS_WEB=str(port))
    with Streamer(stack.address, f"/tweets/followed/{ben.pk}/stream").open() as stream:
        stream.read_until(lambda: stream.last_id)
        assert scrape(port)["twit_streams_open"] == 1
        TweetFactory.create(author=alyssa)
        deliver_all()
        stream.read_until(lambda: stream.given)
        assert scrape(port, event="tweet")["twit_stream_events_total"] == 1
        Tweet.objects.all().delete()
        deliver_all()
        stream.read_until(lambda: stream.gone)
        assert scrape(port, event="gone")["twit_stream_events_total"] == 1
    wait_until(lambda: scrape(port)["twit_streams_open"] == 0)
    wait_until(lambda: scrape(port, reason="closed")["twit_streams_ended_total"] == 1)
    for request, status in ((b"?\r\n\r\n", 400), (b"GET /" + b"x" * 70_000, 431)):
        with Raw(stack.address) as connection:
            assert connection.send(request).reply().status == status
    with Raw(stack.address) as connection:
        assert connection.post("/tweets", b"", length=70_000).reply().status == 413
    for status in (400, 413, 431):
        assert scrape(port, status=str(status))["twit_refused_requests_total"] == 1


@pytest.mark.django_db(transaction=True)
def test_metrics_are_served_without_postgres(stack: Stack) -> None:
    port = free_port()
    stack.env["DATABASE_URL"] = f"postgresql://twit@{LOOPBACK}:{free_port()}/twit"
    stack.start_web(probe="/livez", TWIT_METRICS_WEB=str(port))
    served = scrape(port)
    assert (served["twit_postgres_up"], served["twit_valkey_up"]) == (0, 1)
    assert "twit_outbox_pending" not in served


@pytest.mark.django_db(transaction=True)
def test_a_worker_serves_the_metrics_of_its_processes(stack: Stack, ben: User) -> None:
    port = free_port()
    stack.start_worker("one", processes=2, env={"TWIT_METRICS_WORKER": str(port)})
    TweetFactory.create(author=ben)
    wait_until(lambda: scrape(port)["twit_rounds_total"] == 1)


def test_processes_that_have_ended_leave_their_counts_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    count = (
        "import sys; from prometheus_client import Counter, Gauge, Histogram\n"
        "Counter('twit_x', 'x', ['kind']).labels(sys.argv[1]).inc(2)\n"
        "Histogram('twit_y', 'y').observe(0.3)\n"
        "Gauge('twit_z', 'z', multiprocess_mode='livesum').set(1)"
    )
    for kind in ("even", "odd", "odd"):
        subprocess.run([sys.executable, "-c", count, kind], check=True)
    with subprocess.Popen(["true"]) as killed:
        (tmp_path / f"counter_{killed.pid}.db").touch()
    for _ in range(2):
        found = {
            (sample.name, sample.labels.get("kind")): sample.value
            for metric in Processes().collect()
            for sample in metric.samples
        }
    assert (found["twit_x_total", "even"], found["twit_x_total", "odd"]) == (2, 4)
    assert (found["twit_y_count", None], found["twit_y_bucket", None]) == (3, 3)
    assert {file.name for file in tmp_path.iterdir()} == {"counter_ended.db", "histogram_ended.db"}


def test_a_crash_while_counts_are_moved_counts_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    count = "from prometheus_client import Counter; Counter('twit_x', 'x').inc(2)"
    subprocess.run([sys.executable, "-c", count], check=True)
    with patch.object(Path, "unlink", side_effect=SystemExit), pytest.raises(SystemExit):
        Processes().collect()
    [metric] = Processes().collect()
    assert [sample.value for sample in metric.samples] == [2]


def test_gauges_of_live_processes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    file = tmp_path / f"gauge_livesum_{os.getpid()}.db"
    MmapedDict(str(file)).close()
    Processes().collect()
    assert file.exists()


def test_a_busy_port_is_an_error_that_names_the_setting() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ImproperlyConfigured, match=f"TWIT_METRICS_WEB: .*:{port}: "):
            serve("TWIT_METRICS_WEB", (LOOPBACK, port))


def test_promtool_approves_of_alerts_and_configuration() -> None:
    needs_prometheus()
    command = ["promtool", "check", "config", str(CONFIGURATION / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
