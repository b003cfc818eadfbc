"""A RabbitMQ server of the tests' own, from Debian's package `rabbitmq-server`."""

import os
import subprocess
from pathlib import Path

import amqp
import pytest

from twit.local.net import LOOPBACK, free_port
from twit.local.process import Child

PROGRAMS = Path("/usr/lib/rabbitmq/bin")


class Rabbit:
    """One node, with its files in `folder`. It listens on loopback only."""

    def __init__(self, folder: Path) -> None:
        if not (PROGRAMS / "rabbitmq-server").exists():
            pytest.skip("needs Debian's package rabbitmq-server")
        self.folder = folder
        self.port, distribution, mapper = (free_port() for _ in range(3))
        self.url = f"amqp://guest:guest@{LOOPBACK}:{self.port}"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # for the cookie of Erlang
            "RABBITMQ_NODENAME": f"twit{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": LOOPBACK,
        }
        # RabbitMQ would start a port mapper that outlives it.
        self._mapper = Child("epmd", ["epmd"], folder / "epmd.log", env=self.env)
        self.start()

    def start(self) -> None:
        """Start the node, with the data of the last one. Return once it accepts connections."""
        log = self.folder / "rabbit.log"
        self.server = Child("RabbitMQ", [PROGRAMS / "rabbitmq-server"], log, env=self.env)
        self.server.wait_for(self._connect, OSError)

    def _connect(self) -> None:
        with amqp.Connection(f"{LOOPBACK}:{self.port}", connect_timeout=5):
            pass

    def kill(self) -> None:
        """Kill the node and its helpers with SIGKILL."""
        os.killpg(self.server.process.pid, 9)
        self.server.process.wait()

    def queues(self) -> dict[str, str]:
        """Return the type of each queue by its name."""
        command = f"{PROGRAMS}/rabbitmqctl -q list_queues --no-table-headers name type"
        listed = subprocess.run(
            command.split(), env=self.env, check=True, capture_output=True, text=True
        )
        return dict(line.split("\t") for line in listed.stdout.splitlines())

    def stop(self) -> None:
        self.server.stop()
        self._mapper.stop()
