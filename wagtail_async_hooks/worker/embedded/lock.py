"""The lock of the embedded worker: one holder on this host for each ledger, let go when it dies.

It is the system's lock of a file (``flock``), so that a process cannot leave it behind. The file
is in the folder for temporary files, which all users may write to: it is opened without following
links, has to be ours, and is for its owner alone. What it says is for people only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from django.db import connections

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TOUCH_INTERVAL: Final = 3600.0
"""Seconds between two touches of the file: systemd removes what is ten days old."""

_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # somebody else's FIFO must not keep us waiting
)


class LockRefused(Exception):
    """The lock cannot be taken, whoever holds it; the text says why, and what to do."""


def is_possible() -> bool:
    """Return whether this platform has such locks."""
    return fcntl is not None


def path_for(alias: str) -> Path:
    """Return the file whose lock says who works for the ledger in a database, on this host."""
    where = connections.settings[alias]
    name = str(where.get("NAME") or "")
    if connections[alias].vendor == "sqlite":
        name = os.path.realpath(name)
    service = (where.get("OPTIONS") or {}).get("service", "")
    parts = (where["ENGINE"], where.get("HOST"), where.get("PORT"), name, service)
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"wagtail_async_hooks-{digest}.lock"


class HostLock:
    """The lock, as one process sees it; used by one thread.

    :param path: see :func:`path_for`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._is_held = False
        self._touched_at = float("-inf")

    def acquire(self) -> bool:
        """Take the lock if nobody has it; return whether this process has it now.

        :raises LockRefused: if the file is not one that this process may use.
        """
        if self._is_held:
            return True
        try:
            self._file = self._open()
            self._check(self._file)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been deleted meanwhile, and another process may have the next one.
            self._is_held = self._is_there(self._file)
        except BlockingIOError:
            self._is_held = False
        except OSError as error:
            raise LockRefused(
                f"the file {self.path} cannot be locked ({error.strerror}); let TMPDIR name a "
                "folder on a disk of this host, for all web processes of the site."
            ) from error
        finally:
            if not self._is_held:
                self._close()
        if self._is_held and self._file is not None:
            with suppress(OSError):  # such as a full disk
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        return self._is_held

    def is_kept(self) -> bool:
        """Return whether the lock that this process holds is still that of the file."""
        if self._file is None or not self._is_there(self._file):
            return False
        if time.monotonic() - self._touched_at >= TOUCH_INTERVAL:
            self._touched_at = time.monotonic()
            os.utime(self._file)
        return True

    def release(self) -> None:
        """Let others have it."""
        self._is_held = False
        self._close()

    def forget(self) -> None:
        """Leave it to the parent, after a fork: the lock goes when all copies are closed."""
        self.release()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _open(self) -> int:
        try:
            return os.open(self.path, _FLAGS, 0o600)
        except OSError as error:
            raise LockRefused(self._why_not(error)) from error

    def _why_not(self, error: OSError) -> str:
        if error.errno == errno.ELOOP:
            return f"{self.path} is a symbolic link, which somebody may have put there; delete it."
        try:
            found = os.lstat(self.path)
        except OSError:
            found = None
        if found is not None and found.st_uid != os.geteuid():
            return self._not_ours(found.st_uid)
        return (
            f"the lock file {self.path} cannot be opened ({error.strerror}); let TMPDIR name a "
            "folder that the web processes of the site may write to."
        )

    def _check(self, file: int) -> None:
        """Make sure that the file is ours alone."""
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise LockRefused(f"{self.path} is no regular file; delete it.")
        if found.st_uid != os.geteuid():
            raise LockRefused(self._not_ours(found.st_uid))
        if found.st_nlink > 1:
            raise LockRefused(
                f"{self.path} has another name besides, which somebody else may have given it; "
                "delete it."
            )
        if stat.S_IMODE(found.st_mode) != 0o600:
            os.fchmod(file, 0o600)

    def _not_ours(self, owner: int) -> str:
        return (
            f"the lock file {self.path} belongs to the user {_name_of(owner)}, but this process is "
            f"one of {_name_of(os.geteuid())}; run all web processes of a site on one host as the "
            "same user, or delete the file if it is left over."
        )

    def _is_there(self, file: int) -> bool:
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(file))


def _name_of(user: int) -> str:
    import pwd  # Windows has none

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
