"""The metrics of a service: its first process serves those of all its processes."""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported
OF_ONE = re.compile(r"_(\d+)\.db$")  # the file of one process


def share(setting: str) -> None:
    """Let this process and its children count in a common folder, if their metrics are served.

    Nothing may have imported prometheus_client before. `setting` names the address to serve at.
    """
    if not os.environ.get(setting):
        return
    folder, process_id = tempfile.mkdtemp(prefix="twit-metrics-"), os.getpid()
    os.environ[FOLDER] = folder

    def remove() -> None:
        if os.getpid() == process_id:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)


def serve(setting: str, address: tuple[str, int] | None, *others: "Collector") -> None:
    """Serve the metrics of all processes in a thread. Raises ImproperlyConfigured if it can't."""
    if address is None:
        return
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    for collector in (Processes(), *others):
        registry.register(collector)
    host, port = address
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise ImproperlyConfigured(f"{setting}: can't listen on {host}:{port}: {error}") from error
    # A forked worker process may live a little longer, and must not keep the port.
    os.register_at_fork(after_in_child=server.socket.close)


class Processes:
    """What all processes have counted, without the gauges of those that have ended.

    The counts of processes that have ended move to one file, because there can be many.
    """

    def __init__(self) -> None:
        self._lock = Lock()  # scrapes may come at the same time

    def collect(self) -> Iterable["Metric"]:
        from prometheus_client.multiprocess import MultiProcessCollector

        with self._lock:
            for file in list(_folder().iterdir()):
                if (found := OF_ONE.search(file.name)) and _has_ended(int(found[1])):
                    _retire(file)
            counted: Iterable[Metric] = MultiProcessCollector(None).collect()
        return counted


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _has_ended(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, PermissionError):  # or another user's process has its id
        return True
    return False


def _retire(file: Path) -> None:
    """Add the counts of a process that has ended to those of others, and delete its file.

    If this process is killed meanwhile, some of the counts are lost, but none counts twice.
    """
    from prometheus_client.mmap_dict import MmapedDict

    kind = file.name.partition("_")[0]
    taken = file.rename(file.with_suffix(".ended"))  # the collector does not read it
    if kind != "gauge" and taken.stat().st_size:  # empty if it was killed while it made the file
        sums = MmapedDict(str(_folder() / f"{kind}_ended.db"))
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(taken)):
            sums.write_value(key, sums.read_value(key)[0] + value, 0)
        sums.close()
    taken.unlink()
