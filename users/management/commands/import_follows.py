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
    help = (
        "Load who follows whom from an edge list. Each line has the follower's id and the followed "
        "user's id, separated by a comma, tab or spaces. The file may have a header line and may "
        "be gzipped. Missing users are created as user<id>. A bad line is reported with its "
        "number, and nothing of the file is stored. Loading a file twice changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the edge list, or - to read standard input")

    def handle(self, *, file: str, **options: Any) -> None:
        """Load the file, or change nothing and raise CommandError."""
        try:
            if file == "-":
                loaded = load(sys.stdin.buffer, size=None)
            else:
                path = Path(file)
                with path.open("rb") as source:
                    loaded = load(source, size=path.stat().st_size)
        except graph.BadEdge as error:
            raise CommandError(f"{error}; nothing of {file} was stored") from error
        except (OSError, EOFError, zlib.error) as error:
            raise CommandError(f"{file} can't be read: {error}") from error
        except IntegrityError as error:
            raise CommandError(f"{error}; nothing of {file} was stored") from error
        self.stdout.write(f"{loaded.users:,} new users, {loaded.follows:,} new follows.")


def load(source: BinaryIO, size: int | None) -> graph.Loaded:
    """Load the edge list from `source`. `size`, in bytes, scales the progress bar."""
    with Progress() as progress:
        task = progress.add_task("Reading", total=size)
        if size is not None:  # a pipe has no size, and its bar only moves
            source = progress.wrap_file(source, total=size, task_id=task)
        data = io.BufferedReader(cast(io.RawIOBase, source))
        is_gzip = data.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        plain = gzip.GzipFile(fileobj=data) if is_gzip else data
        lines = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace")
        return graph.load(graph.parse_edges(lines))
