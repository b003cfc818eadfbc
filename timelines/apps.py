from celery.signals import worker_process_init, worker_process_shutdown
from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_delete, post_save


class TimelinesConfig(AppConfig):
    name = "timelines"

    def ready(self) -> None:
        """Connect the receivers, so that `tweets` need not import `timelines`."""
        from backends import checks as servers
        from timelines.delivery import signals, sweeps
        from tweets.models import Tweet

        checks.register(servers.check)
        post_save.connect(signals.tweet_changed, sender=Tweet, dispatch_uid="timelines.fan_out")
        post_delete.connect(signals.tweet_changed, sender=Tweet, dispatch_uid="timelines.retract")
        worker_process_init.connect(sweeps.start, dispatch_uid="timelines.sweeps")
        worker_process_shutdown.connect(sweeps.stop, dispatch_uid="timelines.sweeps")
