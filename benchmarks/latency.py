"""How long a tweet takes to arrive in a home timeline."""

import json
import time
from statistics import median, quantiles

from benchmarks import load, measure, rig, tasks, world
from benchmarks.deliveries import prepare
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack, wait_until
from tests.valkey import client
from timelines.lists.store import list_key
from users.models import Follow


def latency(stack: Stack, size: Size) -> list[Result]:
    """Compare the time from a POST to its entry in a follower's list with an empty task."""
    link = load.connect(rig.start_web(stack))
    author = size.ordinary_authors[len(size.ordinary_authors) // 2]
    reader = Follow.objects.filter(followed_id=author).values_list("follower_id", flat=True)[0]
    key = list_key(reader)
    valkey = client()
    body = json.dumps({"userId": author, "message": "Has it arrived?"}).encode()
    request = load.Call("POST", "/tweets", body)

    def arrival() -> None:
        before = valkey.llen(key)
        load.over_http(link, request)
        while valkey.llen(key) == before:
            time.sleep(0.0001)

    def settle() -> None:
        wait_until(world.nothing_pending)
        time.sleep(0.005)

    contenders = {
        "until the entry is in the list": arrival,
        "until the POST is answered": lambda: load.over_http(link, request),
        "round trip of an empty task": lambda: tasks.nothing.delay().get(),
    }
    taken = measure.one_by_one("latency", contenders, size.rounds * size.calls, settle)
    percentiles = {name: quantiles(taken[name], n=100) for name in taken}
    return [
        Result(
            "Latency of a tweet",
            "milliseconds",
            {
                f"{name}, p{percent}": 1000 * percentiles[name][percent - 1]
                for name in contenders
                for percent in (50, 99)
            },
            [
                Target(
                    "arrival over round trip of an empty task, p50",
                    median(taken["until the entry is in the list"])
                    / median(taken["round trip of an empty task"]),
                    at_most=2,
                )
            ],
            "One client on an idle system. The round trip of a task is Celery's delay().get().",
        )
    ]


PARTS = ((prepare, latency),)
