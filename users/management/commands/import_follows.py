import gzip
import io
import sys
import zlib
from argparse import ArgumentParser
from typing import Any, BinaryIO, cast

from django.core.management.base import CommandError
from rich.progress import Progress

from api.commands import ServerCommand
from users import apart, graph

GZIP_MAGIC = b"\x1f\x8b"


class Command(ServerCommand):
    help = (
        "Load follows from an edge list. Each line has the follower's id and the followed "
        "user's id, separated by a comma, tab or spaces. The file may have a header line and may "
        "be gzipped. Missing users are created as user<id>. The whole file is read first: a bad "
        "line is reported with its number, and nothing is stored. Then the follows are stored in "
        "pieces, so that the service keeps running. If that is interrupted, load the file again to "
        "store the rest. Loading a file twice changes nothing."
    )

    unfinished = graph.INCOMPLETE

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the edge list, or - to read standard input")
        apart.add_arguments(parser)

    def handle(self, *, file: str, offset: int, merge: bool, **options: Any) -> None:
        """Load the file. Raises CommandError, which says what was stored."""
        if offset < 0:
            raise CommandError(f"--offset: {offset} is below 0")
        try:
            with Progress() as progress:
                if file == "-":  # a pipe has no size, so the bar shows no share
                    progress.add_task("Reading", total=None)
                    loaded = load(sys.stdin.buffer, offset, merge)
                else:
                    with progress.open(file, "rb", description="Reading") as source:
                        loaded = load(source, offset, merge)
        except (graph.BadEdge, graph.NameTaken, apart.IdsDontFit) as error:
            raise CommandError(f"{error}; nothing of {file} was stored") from error
        except (OSError, EOFError, zlib.error) as error:
            raise CommandError(f"{file} can't be read: {error}") from error
        self.stdout.write(f"{loaded.users:,} new users, {loaded.follows:,} new follows.")


def load(source: BinaryIO, offset: int, merge: bool) -> graph.Loaded:
    """Load the edge list from `source`, gzipped or not."""
    data = io.BufferedReader(cast(io.RawIOBase, source))
    is_gzip = data.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
    plain = gzip.GzipFile(fileobj=data) if is_gzip else data
    lines = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace")
    return graph.load(graph.parse_edges(lines), offset=offset, merges=merge)
