"""A Prometheus of the tests' own, from Debian's package `prometheus`."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.stack import CHECKOUT, wait_until
from twit.local.net import LOOPBACK, free_port
from twit.local.process import Child

CONFIGURATION = CHECKOUT / "deploy/prometheus"


def needs_prometheus() -> None:
    """Skip the test without the package."""
    if not shutil.which("promtool"):
        pytest.skip("needs Debian's package prometheus")


class Prometheus:
    """It scrapes each second. `ports` are those of each job. Alerts fire soon, and clear soon."""

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        needs_prometheus()
        config = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "500ms"}
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [f"{LOOPBACK}:{ports[job['job_name']]}"]}]
        alerts = (CONFIGURATION / "alerts.yml").read_text()
        alerts = re.sub(r"for: \w+", "for: 1s", alerts).replace("[5m]", "[5s]")
        (folder / "alerts.yml").write_text(alerts)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        command = [
            *("prometheus", f"--config.file={folder / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={LOOPBACK}:{port}"),
        ]
        self._server = Child("prometheus", command, folder / "prometheus.log")
        self._client = httpx.Client(
            base_url=f"http://{LOOPBACK}:{port}/api/v1", trust_env=False, timeout=30
        )
        wait_until(self._responds)

    def _responds(self) -> bool:
        self._server.check_alive()
        try:
            return bool(self._get("query", query="up"))
        except httpx.HTTPError:
            return False

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        found: dict[str, Any] = (
            self._client.get(path, params=parameters).raise_for_status().json()["data"]
        )
        return found

    def values(self, expression: str) -> list[float]:
        """Return the values that the expression has now."""
        results = self._get("query", query=expression)["result"]
        return [float(result["value"][1]) for result in results]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def close(self) -> None:
        self._client.close()
        self._server.stop()
