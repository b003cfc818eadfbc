from timelines.lists import store
from timelines.management.readers import ReadersCommand


class Command(ReadersCommand):
    help = (
        "Drop home timelines from Redis: those of the named users, or all with --all. Nothing is "
        "lost: the next read of each comes from Postgres and rebuilds it."
    )
    title = "Forgetting"
    done = "timelines forgotten"

    def act(self, reader_id: int) -> bool:
        store.forget([reader_id])
        return True
