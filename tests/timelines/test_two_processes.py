"""Every web process shows a change in its next page, even if it has served the old page before."""

import os
import subprocess
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


def sockets(process_id: int) -> int:
    """Return how many sockets the process has open."""
    count = 0
    for link in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            count += str(link.readlink()).startswith("socket:")
    return count


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
    before: dict[int, int] = {}
    clients: list[httpx.Client] = []

    def have_started() -> bool:
        """They open sockets of their own while they start."""
        nonlocal before
        earlier, before = (
            before,
            {int(process_id): sockets(int(process_id)) for process_id in found},
        )
        return before == earlier

    def reach_both() -> bool:
        new = httpx.Client(base_url=stack.address, headers=token, timeout=30, trust_env=False)
        clients.append(stack.clients.enter_context(new))
        new.get("/livez")
        has_both = all(sockets(process_id) > count for process_id, count in before.items())
        return has_both and len(clients) >= CLIENTS

    wait_until(have_started, pause_seconds=0.3)
    assert len(before) == 2
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
