"""Users, follows and tweets made to order."""

import factory
from factory.django import DjangoModelFactory

from tweets.models import Tweet
from users.models import Follow, User


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"someone{n}")


class FollowFactory(DjangoModelFactory[Follow]):
    class Meta:
        model = Follow

    follower = factory.SubFactory(UserFactory)
    followed = factory.SubFactory(UserFactory)


class TweetFactory(DjangoModelFactory[Tweet]):
    class Meta:
        model = Tweet

    author = factory.SubFactory(UserFactory)
    message = factory.Sequence(lambda n: f"message {n}")
