"""Files and folders that no other account can read or redirect."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    """Open a file that is created for its owner alone. To be passed to `open`."""
    return os.open(path, flags, 0o600)
