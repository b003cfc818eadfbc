from timelines.management.readers import ReadersCommand
from timelines.reading.rebuild import rebuild


class Command(ReadersCommand):
    help = (
        "Rebuild home timelines from Postgres: those of the named users, or with --all those of "
        "all users who have a list in Redis. Meanwhile readers are served from Postgres. You "
        "rarely need this command: a read rebuilds every list that is not believed."
    )
    title = "Rebuilding"
    done, skipped = (
        "timelines rebuilt",
        "were skipped: being rebuilt already, or no server is admitted",
    )

    def act(self, reader_id: int) -> bool:
        return rebuild(reader_id).is_stored
