"""manage.py import_follows FILE"""

import gzip
import io
import sys
import zlib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError
from rich.progress import Progress

from users import graph

GZIP_MAGIC = b"\x1f\x8b"


class Command(BaseCommand):
    """Load an edge list."""

    help = (
        "Load who follows whom from an edge list: a line per follow, the follower's id, then the "
        "followed user's, separated by a comma, tab or spaces; with or without a header line; "
        "gzipped or not. Missing users are created as user<id>. All or nothing: a bad line is "
        "reported with its number, and nothing of the file is kept. Loading twice changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """FILE, or - for standard input."""
        parser.add_argument("file", help="the edge list; - reads standard input")

    def handle(self, *, file: str, **options: Any) -> None:
        """Load the file. Raises CommandError, having changed nothing, when it can't be."""
        try:
            if file == "-":
                loaded = load(sys.stdin.buffer, size=None)
            else:
                path = Path(file)
                with path.open("rb") as source:
                    loaded = load(source, size=path.stat().st_size)
        except graph.BadEdge as error:
            raise CommandError(f"{error}; nothing of {file} was kept") from error
        except (OSError, EOFError, zlib.error) as error:
            raise CommandError(f"{file} can't be read: {error}") from error
        except IntegrityError as error:
            raise CommandError(f"{error}; nothing of {file} was kept") from error
        self.stdout.write(f"{loaded.users:,} new users, {loaded.follows:,} new follows.")


def load(source: BinaryIO, size: int | None) -> graph.Loaded:
    """Load the edge list that `source` holds, showing progress by its bytes."""
    with Progress() as progress:
        task = progress.add_task("Reading", total=size)
        if size is not None:  # the size of a pipe is not known: the bar only shows that it moves
            source = progress.wrap_file(source, total=size, task_id=task)
        data = io.BufferedReader(cast(io.RawIOBase, source))
        is_gzip = data.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        plain = gzip.GzipFile(fileobj=data) if is_gzip else data
        lines = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace")
        return graph.load(graph.parse_edges(lines))
