"""Files and folders that no other account can read or redirect."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOG_BYTES = 10 * 1024 * 1024


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Yield a descriptor of the folder itself. Raises NotADirectoryError for a link."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield folder
    finally:
        os.close(folder)


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Create the folder unless it exists, and set its mode.

    Raises PermissionError if it is another user's: that user decides where paths into it lead.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    with opened_folder(path) as folder:
        if os.fstat(folder).st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user")
        os.fchmod(folder, mode)


def write_private(file: Path, text: str) -> None:
    """Write `text` into `file`, which nobody but its owner can open, not even for a moment."""
    with open(file, "w", opener=open_private) as out:
        out.write(text)


def open_private(path: str, flags: int) -> int:
    """Open a file, created for its owner alone. Pass this to `open` as the opener."""
    return os.open(path, flags, 0o600)


def bound_log(file: Path) -> None:
    """Empty a log that has become too long. What it had is kept as `<name>.1`.

    The processes that append to it need not open it again. Lines that are written between the copy
    and the cut are lost.
    """
    if not file.exists() or file.stat().st_size < LOG_BYTES:
        return
    older = file.with_name(f"{file.name}.1")
    with (
        suppress(OSError),  # a full disk has no room for it
        file.open("rb") as source,
        open(older, "wb", opener=open_private) as copy,
    ):
        shutil.copyfileobj(source, copy)
    os.truncate(file, 0)
