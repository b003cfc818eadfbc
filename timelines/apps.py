from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class TimelinesConfig(AppConfig):
    name = "timelines"

    def ready(self) -> None:
        """Connect the receivers: this is how `tweets` and `users` need not know `timelines`."""
        from timelines import signals
        from tweets.models import Tweet
        from users.models import Follow
        from users.signals import follows_loaded

        post_save.connect(signals.tweet_saved, sender=Tweet, dispatch_uid="fan out")
        post_delete.connect(signals.tweet_deleted, sender=Tweet, dispatch_uid="retract")
        for change in (post_save, post_delete):
            change.connect(signals.follow_changed, sender=Follow, dispatch_uid="forget")
        follows_loaded.connect(signals.follows_changed, dispatch_uid="forget")
