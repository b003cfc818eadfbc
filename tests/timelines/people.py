"""What users do, in random order: they post, delete, follow, sign up again, come back."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.psql import connect
from tests.timelines.returning import Client
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import Follow, User

INSERT = "INSERT INTO tweets_tweet (author_id, message) VALUES (%s, 'hello')"
NAMES = ("ben", "alyssa", "louis")

people = st.sampled_from(NAMES)
some = st.integers(0, 9)


class People(RuleBasedStateMachine):
    """Users, who change what is in Postgres."""

    def __init__(self) -> None:
        super().__init__()
        self.users = {name: User.objects.create(username=name).pk for name in NAMES}
        self.clients = {name: Client(self.users[name]) for name in NAMES}
        self.writer = connect()

    def teardown(self) -> None:
        self.writer.close()

    @rule(author=people, commits=st.booleans())
    def post_slowly(self, author: str, commits: bool) -> None:
        """End a transaction that has posted, and begin another one. Others post meanwhile."""
        if commits:
            self.writer.commit()
        else:
            self.writer.rollback()
        self.writer.execute(INSERT, [self.users[author]])

    @rule(author=people, count=st.integers(1, 5))
    def post(self, author: str, count: int) -> None:
        tweets = [Tweet(author_id=self.users[author], message="hello") for _ in range(count)]
        Tweet.objects.bulk_create(tweets)

    @rule(
        how=st.sampled_from(["delete", "delete", "load again", "change author"]),
        which=some,
        author=people,
    )
    def change_a_tweet(self, how: str, which: int, author: str) -> None:
        tweets = list(Tweet.objects.order_by("-id")[:10])
        if how == "load again":  # as loading a fixture does with a deleted tweet
            gone = FanOut.objects.exclude(tweet_id__in=Tweet.objects.values("id"))
            tweets = [Tweet(pk=row.tweet_id, message="again") for row in gone.order_by("-id")]
        if not tweets:
            return
        tweet = tweets[which % len(tweets)]
        if how == "delete":
            Tweet.objects.filter(pk=tweet.pk)._raw_delete("default")
        elif how == "change author":
            Tweet.objects.filter(pk=tweet.pk).update(author_id=self.users[author])
        else:
            tweet.author_id = self.users[author]
            Tweet.objects.bulk_create([tweet])
        if how != "delete":
            for client in self.clients.values():
                client.no_arrivals.add(tweet.pk)

    @rule(follower=people, followed=people, ends=st.booleans())
    def follow(self, follower: str, followed: str, ends: bool) -> None:
        ids = {"follower_id": self.users[follower], "followed_id": self.users[followed]}
        if ends:
            Follow.objects.filter(**ids)._raw_delete("default")
        elif follower != followed:
            Follow.objects.bulk_create([Follow(**ids)], ignore_conflicts=True)
            old = Tweet.objects.filter(author=self.users[followed])
            self.clients[follower].no_arrivals.update(old.values_list("id", flat=True))

    @rule(how=st.sampled_from(["sign up again", "load again", "rename", "rename"]), name=people)
    def change_a_user(self, how: str, name: str) -> None:
        user = User.objects.get(pk=self.users[name])
        if how == "rename":
            user.username, user.follows_version = f"{name} the second", 0  # a stale instance
            user.save()
            return
        self.writer.rollback()  # it locks its author
        user.delete()
        user = User(username=name)
        if how == "load again":
            user.pk = self.users[name]
        user.save_base(raw=True)
        self.users[name] = user.pk
        self.clients[name] = Client(user.pk)
