"""Posts and deletions, in process and over HTTP."""

import json
from functools import partial
from itertools import count

from knox.models import AuthToken

from benchmarks import load, measure, rig
from benchmarks.pages import prepare
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from tweets.models import Tweet
from users.models import User

READER = 1
EMPTY_POST = "an empty DRF view that parses the body"
KNOWN_POST = "Twit, by token, with rate limit and key"


def post(stack: Stack, size: Size) -> list[Result]:
    """Compare a POST with an empty view that parses the same body. Tweets are deleted as well."""
    body = json.dumps({"userId": str(READER), "message": "What a POST costs."}).encode()
    names = {"Twit": "/tweets", EMPTY_POST: "/empty"}
    requests = {name: load.Call("POST", path, body) for name, path in names.items()}
    _, secret = AuthToken.objects.create(User.objects.get(pk=READER))
    number = count()

    def known() -> bytes:
        key = {"HTTP_IDEMPOTENCY_KEY": f"key-{next(number)}"}
        return load.closed(requests["Twit"]._replace(headers=load.bearer(secret) | key))

    def delete() -> bytes:
        return load.in_process(load.Call("DELETE", f"/tweets/{Tweet.objects.latest('id').pk}"))

    inside = measure.call_by_call(
        "post, in process",
        {name: partial(load.in_process, call) for name, call in requests.items()}
        | {
            KNOWN_POST: known,
            "Twit, DELETE (with the search for a tweet)": delete,
            "a page": partial(load.in_process, load.Call("GET", f"/tweets/followed/{READER}")),
        },
        size.rounds,
        size.calls,
    )
    rig.start_workers(stack)
    address = rig.start_web(stack)
    outside = measure.in_rounds(
        "post, over HTTP",
        {
            name: partial(load.seconds_a_request, address, [call], seconds=size.load_seconds)
            for name, call in requests.items()
        },
        size.rounds,
    )
    return [
        Result(
            "A POST, in process",
            "microseconds",
            {name: 1e6 * inside.median(name) for name in inside},
            [
                Target("Twit over the empty view", inside.ratio("Twit", EMPTY_POST), at_most=4),
                Target(
                    "by token, with a key, over the empty view",
                    inside.ratio(KNOWN_POST, EMPTY_POST),
                    at_most=3.5,
                ),
            ],
            "Each POST commits to a durable Postgres. All take turns call by call.",
        ),
        Result(
            "A POST, over HTTP",
            "requests per second",
            {name: 1 / outside.median(name) for name in names},
            remark="Two web processes. 8 clients and 2 workers run on the same cores.",
        ),
    ]


PARTS = ((prepare, post),)
