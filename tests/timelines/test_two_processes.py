"""Every web process shows a change in its next page, even if it has served the old page before."""

import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from django.conf import settings
from django.db import connection

from tests.factories import FollowFactory, TweetFactory
from tests.stack import Stack, wait_until
from tests.timelines.lists import deliver_all
from tweets.models import Tweet
from users.models import Follow, User
from users.tokens import issue, revoke, valid

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks up sockets in /proc"),
]
CLIENTS = 12  # connections, of which each process gets some


class Scene(NamedTuple):
    """Ben follows Alyssa, who has posted twice. His clients lead to both processes."""

    ben: User
    alyssa: User
    tweets: list[Tweet]
    clients: list[httpx.Client]

    def pages(self) -> list[Any]:
        """Return Ben's page from each client: what is shown, or the error's code."""
        answers = [client.get(f"/tweets/followed/{self.ben.pk}") for client in self.clients]
        return [
            [(tweet["userName"], tweet["message"]) for tweet in answer.json()]
            if answer.is_success
            else answer.status_code
            for answer in answers
        ]

    def expect(self, page: Any) -> None:
        """Check that every process shows that page now."""
        assert self.pages() == [page] * len(self.clients)


def sockets(process_id: str) -> set[str]:
    """Return the numbers of the sockets that the process has open."""
    found = set()
    for link in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            found |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    return found


def server_of(answer: httpx.Response, process_ids: Sequence[str]) -> str:
    """Return the id of the process at the other end of the connection."""
    stream = answer.extensions["network_stream"]
    ends = [stream.get_extra_info(name)[1] for name in ("server_addr", "client_addr")]
    sockets_of_all = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    [number] = [
        fields[9]
        for fields in sockets_of_all
        if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == ends
    ]
    [found] = [each for each in process_ids if number in sockets(each)]
    return found


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path, ben: User, alyssa: User) -> Scene:
    server = os.environ["DATABASE_URL"].rpartition("/")[0]
    address = f"{server}/{connection.settings_dict['NAME']}"
    stack = Stack(tmp_path, address, settings.REDIS_URL)
    request.addfinalizer(stack.stop)
    stack.start_web(processes=2, probe="/livez", TWIT_OPEN_API="off")
    FollowFactory.create(follower=ben, followed=alyssa)
    tweets = [TweetFactory.create(author=alyssa, message=text) for text in ("one", "two")]
    token = {"Authorization": f"Bearer {issue(ben, timedelta(days=1))[1]}"}
    command = ["pgrep", "-P", str(stack.children["web"].process.pid), "-f", "multiprocessing.spawn"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    clients: list[httpx.Client] = []
    reached: set[str] = set()

    def reach_both() -> bool:
        new = httpx.Client(base_url=stack.address, headers=token, timeout=30, trust_env=False)
        clients.append(stack.clients.enter_context(new))
        reached.add(server_of(new.get("/livez"), found))
        return len(reached) == 2 and len(clients) >= CLIENTS

    wait_until(reach_both)
    made = Scene(ben, alyssa, tweets, clients)
    deliver_all()
    for _ in range(3):  # what a process remembers, it has by now
        made.expect([("alyssa", "two"), ("alyssa", "one")])
    return made


def test_every_process_shows_each_change_at_once(scene: Scene) -> None:
    one, two = scene.tweets
    User.objects.filter(pk=scene.alyssa.pk).update(username="alyssa_p")
    scene.expect([("alyssa_p", "two"), ("alyssa_p", "one")])
    Tweet.objects.filter(pk=two.pk).update(message="edited")
    scene.expect([("alyssa_p", "edited"), ("alyssa_p", "one")])
    one.delete()
    scene.expect([("alyssa_p", "edited")])
    Follow.objects.filter(follower=scene.ben).delete()
    scene.expect([])
    FollowFactory.create(follower=scene.ben, followed=scene.alyssa)
    scene.expect([("alyssa_p", "edited")])


def test_every_process_refuses_a_revoked_token_at_once(scene: Scene) -> None:
    revoke(valid(scene.ben.pk), "test")
    scene.expect(401)


def test_every_process_shows_another_tweet_with_the_same_id(scene: Scene) -> None:
    """A restored database gives ids again."""
    two = scene.tweets[1]
    tweet_id = two.pk
    two.delete()
    Tweet.objects.create(pk=tweet_id, author=scene.alyssa, message="another")
    scene.expect([("alyssa", "another"), ("alyssa", "one")])
