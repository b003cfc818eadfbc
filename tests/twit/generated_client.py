"""A script that uses the client generated from openapi.yml. test_clients.py runs it."""

import re
import sys
import time

from twit_client import AuthenticatedClient, Client
from twit_client.api.auth import sign_in, sign_out
from twit_client.api.me import get_me, list_tokens
from twit_client.api.tweets import (
    delete_tweet,
    get_tweet,
    home_timeline,
    list_tweets,
    post_tweet,
    user_timeline,
)
from twit_client.api.users import follow, list_followers, list_users, sign_up, unfollow
from twit_client.models import Error, Login, NewTweet, NewUser, Token, Tweet, User

address = sys.argv[1]
stranger = Client(address, raise_on_unexpected_status=True)
credentials = Login(username="louis", password="password of louis")
signed_in = sign_in.sync(client=stranger, body=credentials)
assert isinstance(signed_in, Token)
louis = AuthenticatedClient(address, signed_in.token, raise_on_unexpected_status=True)

posted = [
    post_tweet.sync(client=louis, body=NewTweet(f"number {n}"), idempotency_key=f"walk-{n}")
    for n in (1, 2, 2, 3)
]
assert all(isinstance(tweet, Tweet) for tweet in posted)
assert posted[1] == posted[2] != posted[3]
newest = posted[3]
assert (newest.message, newest.user_name) == ("number 3", "louis")
assert newest.created_at.utcoffset().total_seconds() == 0

assert get_tweet.sync(newest.id, client=stranger) == newest
page = user_timeline.sync(signed_in.user_id, client=stranger, limit=2)
older = user_timeline.sync(signed_in.user_id, client=stranger, limit=1, max_id=page[-1].id)
assert page + older == [posted[3], posted[1], posted[0]]
assert list_tweets.sync(client=stranger, since_id=posted[0].id, limit=200)[-1] == posted[1]
assert isinstance(home_timeline.sync(signed_in.user_id, client=louis), list)

refused = home_timeline.sync(signed_in.user_id, client=stranger)
assert isinstance(refused, Error)
assert refused.detail
wrong = post_tweet.sync(client=louis, body=NewTweet(" "))
assert isinstance(wrong, Error)
assert wrong.errors["message"] == ["This field may not be blank."]

new = Login(username="flo", password="a secret of flo")
signed_up = sign_up.sync(client=stranger, body=NewUser(new.username, new.password))
assert isinstance(signed_up, User)
taken = sign_up.sync(client=stranger, body=NewUser(new.username, new.password))
assert isinstance(taken, Error)
assert list(taken.errors.to_dict()) == ["username"]
token = sign_in.sync(client=stranger, body=new).token
flo = AuthenticatedClient(address, token, raise_on_unexpected_status=True)
assert get_me.sync(client=flo) == signed_up
assert [token.is_current for token in list_tokens.sync(client=flo)] == [True]
[found] = list_users.sync(client=flo, username="louis")
assert follow.sync_detailed(signed_up.id, found.id, client=flo).status_code == 204
assert signed_up in list_followers.sync(found.id, client=flo)
page = home_timeline.sync_detailed(signed_up.id, client=flo, limit=2)
assert page.parsed == [posted[3], posted[1]]
[after] = re.findall('after=([^>]*)>; rel="prev"', page.headers["Link"])
post_tweet.sync(client=louis, body=NewTweet("news"))
while not (news := home_timeline.sync(signed_up.id, client=flo, after=after)):
    time.sleep(0.1)
assert [tweet.message for tweet in news] == ["news"]
assert unfollow.sync_detailed(signed_up.id, found.id, client=flo).status_code == 204
assert home_timeline.sync(signed_up.id, client=flo) == []

assert delete_tweet.sync_detailed(newest.id, client=louis).status_code == 204
assert isinstance(get_tweet.sync(newest.id, client=stranger), Error)
assert sign_out.sync_detailed(client=louis).status_code == 204
assert isinstance(post_tweet.sync(client=louis, body=NewTweet("x")), Error)
print("walked")
