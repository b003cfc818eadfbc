"""Checks of the servers that REDIS_URL, BROKER_URL and LIMITS_URL name.

A server that does not answer is no problem here: Twit waits for it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from backends.address import Address, is_cluster, parse_cluster
from backends.slots import SLOTS
from backends.valkey import Command, CommandRefused, Connection

TIMEOUT_SECONDS = 1.0
ROLES = ("REDIS_URL", "BROKER_URL", "LIMITS_URL")
OLDEST = 7  # major version of Redis; Valkey 7.2 calls itself Redis 7.2.4

logger = logging.getLogger("twit")


class Problem(NamedTuple):
    """A sentence that says what is wrong with a server. If not fatal, it may pass by itself."""

    text: str
    is_fatal: bool = True


def problems(urls: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of the servers at these URLs, by the names of their settings."""
    timelines = urls["REDIS_URL"]
    if is_cluster(timelines):
        yield from _cluster(parse_cluster(timelines))
    for name in ROLES:
        url = urls.get(name, "")
        is_repeated = name != "REDIS_URL" and url == timelines
        if url.startswith("redis") and not is_repeated:
            yield from _single(name, Address.parse(url))


def require() -> None:
    """Log the problems that are not fatal. Raises ImproperlyConfigured, which lists the others."""
    found = list(problems(_configured()))
    for problem in found:
        if not problem.is_fatal:
            logger.warning(problem.text)
    if fatal := [problem.text for problem in found if problem.is_fatal]:
        raise ImproperlyConfigured("\n      ".join(fatal))


def check(**options: object) -> Sequence[CheckMessage]:
    """Return the problems for `manage.py check`."""
    return [
        Error(text, id="twit.E001") if is_fatal else Warning(text, id="twit.W001")
        for text, is_fatal in problems(_configured())
    ]


def _configured() -> Mapping[str, str]:
    return {name: getattr(settings, name) for name in ROLES}


def _single(name: str, address: Address) -> Iterator[Problem]:
    [info] = _ask(address, ("INFO",)) or [""]
    if "cluster_enabled:1" in info:
        what = "is a node of a cluster"
        if name == "REDIS_URL":
            what += "; write valkey-cluster://... to use that"
        yield Problem(f"The server of {name} {what}.")
    if "role:slave" in info:
        text = f"The server of {name} is a replica; Twit needs the primary."
        yield Problem(text, is_fatal=False)
    yield from _age(f"The server of {name}", info)


def _cluster(seeds: Sequence[Address]) -> Iterator[Problem]:
    clusters: dict[str, str] = {}  # the nodes that each host knows
    for seed in seeds:
        host = f"{seed.host}:{seed.port}"
        name = f"{host} in REDIS_URL"
        [info] = _ask(seed, ("INFO",)) or [""]
        yield from _age(name, info)
        if "cluster_enabled:0" in info:
            yield Problem(f"{name} is not a node of a cluster.")
        elif info:
            state, known, own_id = _ask(
                seed, ("CLUSTER", "INFO"), ("CLUSTER", "NODES"), ("CLUSTER", "MYID")
            ) or ["", "", ""]
            for other, nodes in clusters.items():
                if known and own_id not in nodes:
                    yield Problem(f"{name} belongs to another cluster than {other}.")
                    return
            if known:
                clusters[host] = known
                yield from _missing_slots(state)


def _missing_slots(state: str) -> Iterator[Problem]:
    served = next(
        int(line.partition(":")[2])
        for line in state.splitlines()
        if line.startswith("cluster_slots_ok:")
    )
    if served < SLOTS:
        text = f"{SLOTS - served} slots of the cluster in REDIS_URL have no primary that answers."
        yield Problem(f"{text} Their timelines come from Postgres.", is_fatal=False)


def _age(name: str, info: str) -> Iterator[Problem]:
    versions = [line[14:] for line in info.splitlines() if line.startswith("redis_version:")]
    if versions and int(versions[0].partition(".")[0]) < OLDEST:
        yield Problem(f"{name} has version {versions[0]}; Twit needs Valkey 7.2 or Redis 7.")


def _ask(address: Address, *commands: Command) -> list[str]:
    """Return the replies, or an empty list if the server does not answer."""
    try:
        with closing(Connection(address, TIMEOUT_SECONDS)) as connection:
            replies = connection.ask(*commands)
    except (OSError, CommandRefused):
        return []
    return [reply.decode() for reply in replies if isinstance(reply, bytes)]
