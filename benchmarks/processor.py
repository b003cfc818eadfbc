"""How much processor time a request takes in Twit's process, in Postgres and in Valkey."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from knox.models import AuthToken
from rich.progress import track

from benchmarks import load, world
from benchmarks.pages import FOLLOWERS, first_author, prepare, readers_of, tweets
from benchmarks.report import Result
from benchmarks.sizes import Size
from tests.stack import Stack
from tests.valkey import client
from timelines.delivery import rounds
from timelines.reading.rebuild import rebuild
from users.models import User

PROC = Path("/proc")


def requests(stack: Stack, size: Size) -> list[Result]:
    """Measure pages, a POST, rebuilds and deliveries, on Linux."""
    if not (PROC / "self/schedstat").exists():
        return []
    tweets(size, size.tweets[-1])
    authors = range(first_author(size), first_author(size) + size.authors)
    calls = 5 * size.calls
    taken: dict[str, list[float]] = defaultdict(list)
    for number in track(range(size.rounds + 1), "processor time".ljust(32)):
        for name, call in contenders(size).items():
            spent = _spent(partial(_repeat, call, calls), calls)
            if number:
                _add(taken, name, spent)
        world.post(authors, calls)
        spent = _spent(partial(rounds.drain, 600.0), FOLLOWERS * calls)
        if number:
            _add(taken, f"a delivery, one of {FOLLOWERS}", spent)
    return [
        Result(
            "Processor time of a request",
            "microseconds",
            {name: 1e6 * median(seconds) for name, seconds in taken.items()},
            remark=f"{size.tweets[-1]:,} tweets. In process, {calls} calls in a row, so the "
            "processor's caches are warm. Time spent waiting does not count. The followers of "
            "the deliveries have no lists, so Valkey has less work than with lists.",
        )
    ]


def contenders(size: Size) -> dict[str, Callable[[], object]]:
    """Return the calls to measure."""
    reader = readers_of(size, size.follows[1])[0]
    _, token = AuthToken.objects.create(User.objects.get(pk=reader))
    body = json.dumps({"userId": str(reader), "message": "What a POST costs."}).encode()
    requests = {
        "a page of 20": load.Call("GET", f"/tweets/followed/{reader}"),
        "a POST": load.Call("POST", "/tweets", body),
    }
    known = load.Call("GET", f"/tweets/followed/{reader}", headers=load.bearer(token))
    return {
        **{name: partial(load.in_process, call) for name, call in requests.items()},
        "a page of 20, with token and rate limit": partial(load.closed, known),
        **{
            f"a rebuild, {follows} follows": partial(rebuild, readers_of(size, follows)[0])
            for follows in size.follows[:2]
        },
    }


def _spent(work: Callable[[], object], times: int) -> dict[str, float]:
    """Return the processor seconds of Twit, Postgres and Valkey, divided by `times`."""
    before = _taken()
    work()
    return {server: (seconds - before[server]) / times for server, seconds in _taken().items()}


def _repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


def _add(taken: dict[str, list[float]], name: str, spent: dict[str, float]) -> None:
    for server, seconds in spent.items():
        taken[f"{name}: {server}"].append(seconds)


def _taken() -> dict[str, float]:
    """Return the processor seconds that Twit, Postgres and Valkey have taken so far."""
    parent = _status(world.number("SELECT pg_backend_pid()"))["PPid"]
    postgres = [
        int((folder / "schedstat").read_text().split()[0])
        for folder in PROC.glob("[0-9]*")
        if _status(int(folder.name)).get("PPid") == parent
    ]
    valkey = client().info("cpu")
    return {
        "Twit": time.process_time(),
        "Postgres": sum(postgres) / 1e9,
        "Valkey": valkey["used_cpu_user"] + valkey["used_cpu_sys"],
    }


def _status(process_id: int) -> dict[str, str]:
    """Return what /proc says of the process, by name. It is empty if the process has ended."""
    try:
        lines = (PROC / str(process_id) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


PARTS = ((prepare, requests),)
