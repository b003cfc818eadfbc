"""Metrics that Postgres and the Valkey servers are asked for at each scrape."""

import logging
from collections.abc import Iterable, Iterator, Mapping

from django.db import Error, connections, transaction
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from backends.nodes import nodes
from backends.postgres import binary_cursor
from backends.refreshed import Refreshed
from backends.servers import Server
from backends.slots import SLOTS
from backends.valkey import Unavailable
from timelines.lists import admission
from timelines.signs import OLDEST, SEEN, SWEEP

# Between two looks. Scrapes at the same time share one.
LOOK_SECONDS = 1.0

# Ages are by Postgres's clock.
OUTBOX = f"""
    SELECT count(*), count(*) FILTER (WHERE attempts > 0),
        coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float,
        coalesce(({SEEN}), 'infinity')
    FROM ({OLDEST}) AS oldest
"""  # noqa: S608 (joined from constants)

log = logging.getLogger(__name__)


class State:
    """A collector. A server that does not answer is reported as down."""

    def __init__(self) -> None:
        self._found: Refreshed[Iterable[Metric]] = Refreshed(_look, first=(), seconds=LOOK_SECONDS)

    def collect(self) -> Iterable[Metric]:
        return self._found.value()


def _look() -> list[Metric]:
    return [*_of_postgres(), *_of_valkey()]


def _of_postgres() -> Iterator[Metric]:
    try:
        with transaction.atomic(), binary_cursor() as cursor:
            # Without statistics the planner would scan an outbox that has just grown.
            cursor.execute("SELECT set_config('enable_seqscan', 'off', true)")
            [row] = cursor.execute(OUTBOX, [SWEEP], prepare=False).fetchall()
            admitted = admission.current(cursor)
    except Error as error:
        log.warning("Postgres did not report the state of the outbox: %s", error)
        yield _up(0)
        return
    finally:
        connections.close_all()  # the thread ends with the scrape
    yield _up(1)
    pending, failing, oldest, swept = row
    yield GaugeMetricFamily("twit_outbox_pending", "Rows of the outbox.", pending)
    yield GaugeMetricFamily("twit_outbox_failing", "Rows whose last attempt failed.", failing)
    yield GaugeMetricFamily("twit_outbox_oldest_seconds", "Age of the oldest row.", oldest)
    yield GaugeMetricFamily("twit_sweep_age_seconds", "Age of the last sweep.", swept)
    free = SLOTS - sum(slots.last + 1 - slots.first for slots, *_ in admitted)
    yield GaugeMetricFamily("twit_slots_without_server", "Slots without an admitted server.", free)


def _up(value: int) -> Metric:
    return GaugeMetricFamily("twit_postgres_up", "Whether Postgres answered.", value)


def _of_valkey() -> Iterator[Metric]:
    servers = nodes()
    found: dict[str, Mapping[str, str]] = {}
    try:
        for address in servers.addresses():
            server = servers.server(address)
            found[server.address.node] = _info(server)
    except Unavailable as error:
        log.warning("The servers of the timelines are not known: %s", error)
        found[""] = {}
    yield from _families(found)


def _families(found: Mapping[str, Mapping[str, str]]) -> Iterator[Metric]:
    up = GaugeMetricFamily("twit_valkey_up", "Whether the server answered.", labels=["node"])
    used = GaugeMetricFamily("twit_valkey_memory_bytes", "Memory in use.", labels=["node"])
    most = GaugeMetricFamily(
        "twit_valkey_memory_limit_bytes",
        "The server's maxmemory; 0 if there is none.",
        labels=["node"],
    )
    evicted = CounterMetricFamily(
        "twit_valkey_evicted_keys", "Keys that were evicted for lack of memory.", labels=["node"]
    )
    for node, info in found.items():
        up.add_metric([node], bool(info))
        if info:
            used.add_metric([node], float(info["used_memory"]))
            most.add_metric([node], float(info["maxmemory"]))
            evicted.add_metric([node], float(info["evicted_keys"]))
    yield from (up, used, most, evicted)


def _info(server: Server) -> Mapping[str, str]:
    """Return the server's figures, or an empty mapping if it does not answer."""
    try:
        with server.connection() as connection:
            replies = connection.ask(("INFO", "memory"), ("INFO", "stats"))
    except Unavailable:
        return {}
    text = b"".join(reply for reply in replies if isinstance(reply, bytes)).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
