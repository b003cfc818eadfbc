import gzip
import io
import sys
import zlib
from argparse import ArgumentParser
from typing import Any, BinaryIO, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.progress import Progress

from users import graph

GZIP_MAGIC = b"\x1f\x8b"


class Command(BaseCommand):
    help = (
        "Load who follows whom from an edge list. Each line has the follower's id and the followed "
        "user's id, separated by a comma, tab or spaces. The file may have a header line and may "
        "be gzipped. Missing users are created as user<id>. The whole file is read first: a bad "
        "line is reported with its number, and nothing of the file is stored. Then the follows are "
        "stored in pieces, so that the service goes on. If that is interrupted, some pieces are "
        "stored; loading the file again completes it. Loading a file twice changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the edge list, or - to read standard input")

    def handle(self, *, file: str, **options: Any) -> None:
        """Load the file. Raises CommandError, which says what was stored."""
        try:
            with Progress() as progress:
                if file == "-":  # a pipe has no size, and its bar only moves
                    progress.add_task("Reading", total=None)
                    loaded = load(sys.stdin.buffer)
                else:
                    with progress.open(file, "rb", description="Reading") as source:
                        loaded = load(source)
        except (graph.BadEdge, graph.NameTaken) as error:
            raise CommandError(f"{error}; nothing of {file} was stored") from error
        except DatabaseError as error:
            raise CommandError(f"{error}; {graph.INCOMPLETE}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise CommandError(f"{file} can't be read: {error}") from error
        self.stdout.write(f"{loaded.users:,} new users, {loaded.follows:,} new follows.")


def load(source: BinaryIO) -> graph.Loaded:
    """Load the edge list from `source`, gzipped or not."""
    data = io.BufferedReader(cast(io.RawIOBase, source))
    is_gzip = data.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
    plain = gzip.GzipFile(fileobj=data) if is_gzip else data
    lines = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace")
    return graph.load(graph.parse_edges(lines))
