from typing import Any

from timelines.delivery import admitting
from timelines.lists import upkeep
from timelines.management.readers import ReadersCommand


class Command(ReadersCommand):
    help = (
        "Drop home timelines from Redis: those of the named users, or all with --all. Nothing is "
        "lost: the next read of each comes from Postgres and rebuilds it. With --all, no list that "
        "exists now is believed any more, even if Redis can't be reached. Use that after you have "
        "restored a backup of Postgres."
    )
    title = "Forgetting"
    done = "timelines forgotten"

    def handle(self, *, users: list[str], **options: Any) -> None:
        """Renew the admissions before the lists are dropped, which may take long or fail."""
        if options["all"] and not users:
            admitting.renew()
        super().handle(users=users, **options)

    def act(self, reader_id: int) -> bool:
        upkeep.forget(reader_id)
        return True
