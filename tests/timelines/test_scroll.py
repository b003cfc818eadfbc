"""Reading a long home timeline to its end while it changes."""

import pytest

from api.fields import MAX_ID
from api.paging import Window
from tests.factories import FollowFactory, UserFactory
from tests.timelines.lists import deliver_all, page, query
from timelines.reading.page import home_page
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("limit", [20, 37, 200])
def test_each_tweet_is_shown_once_and_in_order_while_others_change(ben: User, limit: int) -> None:
    authors = UserFactory.create_batch(7)
    for author in authors:
        FollowFactory.create(follower=ben, followed=author)

    def post(count: int) -> None:
        Tweet.objects.bulk_create(
            Tweet(author=authors[n * n % 7], message=f"{n}") for n in range(count)
        )
        deliver_all()

    post(3_000)
    page(ben)  # materialises it; later tweets are pushed
    post(2_000)
    at_start = query(ben)
    assert len(at_start) == 5_000
    seen: list[int] = []
    deleted: set[int] = set()
    while True:
        found = home_page(ben.pk, Window(limit=limit, max_id=seen[-1] if seen else MAX_ID))
        seen += [tweet.id for tweet in found.items]
        if not found.has_more:
            break
        post(2)
        # One tweet that was shown, and some that are not yet shown, in the list and far below it.
        ahead = [at_start[(len(seen) + step) % 5_000] for step in (1, 2, 3, 5, 700, 1_900)]
        doomed = {seen[-1], *ahead}
        Tweet.objects.filter(pk__in=doomed).delete()
        deleted |= doomed
    assert seen == sorted(set(seen), reverse=True)
    assert set(at_start) - deleted <= set(seen) <= set(at_start)
    assert page(ben, max_id=seen[-1]) == []
