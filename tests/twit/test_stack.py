"""The path from POST to home timeline, through real processes."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.psql import psql
from tests.stack import CHECKOUT, Stack, wait_until
from tests.timelines.lists import listed as listed_or_none
from tests.valkey import client
from timelines.delivery.tasks import WAKE_SECONDS
from timelines.models import FanOut
from timelines.reading.rebuild import rebuild
from tweets.models import Tweet
from users.models import Follow, User

GRAPH = CHECKOUT.parent / "shared/data/twitter-follows.csv.gz"


def listed(reader_id: int) -> list[int]:
    found = listed_or_none(reader_id)
    assert found is not None
    return found


def test_a_posted_tweet_is_delivered_and_a_deleted_tweet_is_removed(stack: Stack) -> None:
    call_command("loaddata", "demo", verbosity=0)
    web = stack.start_web()
    stack.start_worker("worker")
    ben, followers = 1, [2, 3, 4]
    before = {reader: web.get(f"/tweets/followed/{reader}").json() for reader in followers}
    tweet = web.post("/tweets", json={"userId": "1", "message": "hello"}).json()
    wait_until(lambda: all(listed(reader)[0] == int(tweet["id"]) for reader in followers))
    for reader in followers:
        assert web.get(f"/tweets/followed/{reader}").json() == [tweet, *before[reader]]
    assert web.get(f"/tweets/followed/{ben}").json()[0]["userId"] != str(ben)

    assert web.delete(f"/tweets/{tweet['id']}").status_code == 204
    for reader in followers:
        assert web.get(f"/tweets/followed/{reader}").json() == before[reader]
    wait_until(lambda: not any(int(tweet["id"]) in listed(reader) for reader in followers))


def test_two_workers_share_the_work_and_one_continues_alone(stack: Stack) -> None:
    call_command("loaddata", "demo", verbosity=0)
    rebuild(2)
    for name in ("one", "two"):
        stack.start_worker(name, env={"TWIT_LOG_LEVEL": "DEBUG"})  # it logs its tasks

    def post(count: int) -> set[int]:
        tweets = [Tweet.objects.create(author_id=1, message=f"{n}") for n in range(count)]
        return {tweet.pk for tweet in tweets}

    posted: set[int] = set()

    def both_have_worked() -> bool:
        posted.update(post(1))
        return all("Task timelines.fan_out[" in stack.log(name) for name in ("one", "two"))

    wait_until(both_have_worked)
    wait_until(lambda: posted <= set(listed(2)))
    names = ",".join(f"{name}-{os.getpid()}@test" for name in ("one", "two"))
    command = [sys.executable, "-m", "celery", "-A", "twit", "inspect", "registered"]
    command += ["--timeout", "30", "--destination", names]
    registered = subprocess.run(
        command, cwd=CHECKOUT, env=stack.env, check=True, capture_output=True, text=True
    ).stdout
    assert registered.count("timelines.fan_out") == 2
    stack.kill("one")
    posted = post(10)
    wait_until(lambda: posted <= set(listed(2)))


def test_the_sweep_delivers_and_retracts_tweets_that_bypassed_django(
    stack: Stack, tmp_path: Path
) -> None:
    call_command("loaddata", "demo", verbosity=0)
    rebuild(2)
    FanOut.objects.all().delete()
    stack.start_worker("worker")
    stack.start_beat()
    loaded = tmp_path / "tweets.json"
    tweet = {"model": "tweets.tweet", "pk": 100, "fields": {"author": 1, "message": "loaded"}}
    loaded.write_text(json.dumps([tweet]))

    psql("INSERT INTO tweets_tweet (id, author_id, message) VALUES (99, 1, 'by hand')")
    wait_until(lambda: 99 in listed(2))
    call_command("loaddata", str(loaded), verbosity=0)
    wait_until(lambda: 100 in listed(2))
    [created] = Tweet.objects.bulk_create([Tweet(author_id=1, message="in bulk")])
    wait_until(lambda: created.pk in listed(2))
    psql("DELETE FROM tweets_tweet WHERE id IN (99, 100)")
    wait_until(lambda: not {99, 100} & set(listed(2)))


def test_a_backlog_takes_no_memory_in_valkey_and_drains(stack: Stack) -> None:
    call_command("loaddata", "demo", verbosity=0)
    rebuild(2)
    web = stack.start_web()
    started = time.monotonic()
    posted = {
        int(web.post("/tweets", data={"userId": 1, "message": f"{n}"}).json()["id"])
        for n in range(200)
    }
    assert FanOut.objects.count() >= len(posted)
    assert client().llen("celery") <= 3 + (time.monotonic() - started) // WAKE_SECONDS
    stack.start_worker("worker")
    wait_until(lambda: not FanOut.objects.exists())
    assert posted <= set(listed(2))


def test_without_redis_posts_are_stored_and_timelines_come_from_postgres(stack: Stack) -> None:
    call_command("loaddata", "demo", verbosity=0)
    web = stack.start_web(REDIS_URL="redis://127.0.0.1:1/0")
    response = web.post("/tweets", json={"userId": 1, "message": "hello"})
    assert response.status_code == 201
    shown = web.get("/tweets/followed/2").json()
    assert shown[0] == response.json()
    assert [tweet["id"] for tweet in shown] == ["9", "7", "5", "1"]
    assert web.get("/tweets/followed/999").status_code == 404
    assert "A wake-up may not have reached the workers" in stack.log("web")


def test_the_curl_commands_in_the_readme_work(stack: Stack) -> None:
    call_command("loaddata", "demo", verbosity=0)
    address = str(stack.start_web().base_url).rstrip("/")
    readme = (CHECKOUT / "README.md").read_text()
    blocks = re.findall(r"```sh\n(curl .*?)```", readme, re.DOTALL)
    lines = blocks[0].splitlines()
    statuses: Counter[str] = Counter()
    for line in lines:
        command = [
            *shlex.split(line.replace("http://127.0.0.1:8000", address)),
            "-w",
            " %{http_code}",
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        statuses[output.rpartition(" ")[2]] += 1
    assert statuses == {"200": 4, "201": 2, "204": 1}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not GRAPH.exists(), reason=f"the follow graph {GRAPH.name} is missing")
def test_a_tweet_reaches_every_follower_in_the_real_graph(stack: Stack) -> None:
    call_command("import_follows", str(GRAPH), verbosity=0)
    assert (User.objects.count(), Follow.objects.count()) == (13_688, 68_328)
    with gzip.open(GRAPH, "rt") as edges:
        next(edges)
        followed_by = Counter(int(line.split(",")[1]) for line in edges)
    (author_id, followers), *_ = followed_by.most_common(1)
    assert followers == 3_469
    reader_ids = Follow.objects.filter(followed_id=author_id).values_list("follower_id", flat=True)
    for reader_id in reader_ids:
        rebuild(reader_id)
    web = stack.start_web()
    stack.start_worker("worker")
    tweet = web.post("/tweets", json={"userId": author_id, "message": "to all of you"}).json()
    wait_until(lambda: all(listed(reader_id) for reader_id in reader_ids))
    for reader_id in reader_ids:
        assert web.get(f"/tweets/followed/{reader_id}").json() == [tweet]
