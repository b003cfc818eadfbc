"""Factories for users, follows and tweets."""

from factory.declarations import Sequence, SubFactory
from factory.django import DjangoModelFactory

from tweets.models import Tweet
from users.models import Follow, User


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    username = Sequence(lambda n: f"someone{n}")


class FollowFactory(DjangoModelFactory[Follow]):
    class Meta:
        model = Follow

    follower = SubFactory(UserFactory)
    followed = SubFactory(UserFactory)


class TweetFactory(DjangoModelFactory[Tweet]):
    class Meta:
        model = Tweet

    author = SubFactory(UserFactory)
    message = Sequence(lambda n: f"message {n}")
