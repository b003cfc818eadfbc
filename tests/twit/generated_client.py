"""A script that uses the client generated from openapi.yml. test_clients.py runs it."""

import sys

from twit_client import AuthenticatedClient, Client
from twit_client.api.auth import auth_login_create, auth_logout_create
from twit_client.api.tweets import (
    tweets_create,
    tweets_destroy,
    tweets_followed_retrieve,
    tweets_list,
    tweets_retrieve,
    tweets_user_retrieve,
)
from twit_client.models import Error, Login, NewTweet, Token, Tweet

address = sys.argv[1]
stranger = Client(address, raise_on_unexpected_status=True)
credentials = Login(username="louis", password="password of louis")
signed_in = auth_login_create.sync(client=stranger, body=credentials)
assert isinstance(signed_in, Token)
louis = AuthenticatedClient(
    address, signed_in.token, prefix="Token", raise_on_unexpected_status=True
)

posted = [
    tweets_create.sync(client=louis, body=NewTweet(f"number {n}"), idempotency_key=f"walk-{n}")
    for n in (1, 2, 2, 3)
]
assert all(isinstance(tweet, Tweet) for tweet in posted)
assert posted[1] == posted[2] != posted[3]
newest = posted[3]
assert (newest.message, newest.user_name) == ("number 3", "louis")
assert newest.created_at.utcoffset().total_seconds() == 0

assert tweets_retrieve.sync(newest.id, client=stranger) == newest
page = tweets_user_retrieve.sync(signed_in.user_id, client=stranger, limit=2)
older = tweets_user_retrieve.sync(signed_in.user_id, client=stranger, limit=1, max_id=page[-1].id)
assert page + older == [posted[3], posted[1], posted[0]]
assert tweets_list.sync(client=stranger, since_id=posted[0].id, limit=200)[-1] == posted[1]
assert isinstance(tweets_followed_retrieve.sync(signed_in.user_id, client=louis), list)

refused = tweets_followed_retrieve.sync(signed_in.user_id, client=stranger)
assert isinstance(refused, Error)
assert refused.detail
wrong = tweets_create.sync(client=louis, body=NewTweet(" "))
assert isinstance(wrong, Error)
assert wrong["message"] == ["This field may not be blank."]

assert tweets_destroy.sync_detailed(newest.id, client=louis).status_code == 204
assert isinstance(tweets_retrieve.sync(newest.id, client=stranger), Error)
assert auth_logout_create.sync_detailed(client=louis).status_code == 204
assert isinstance(tweets_create.sync(client=louis, body=NewTweet("x")), Error)
print("walked")
