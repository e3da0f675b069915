"""A worker that starts anew when code changes, by Django's autoreloader, as ``runserver`` does.

Django starts the command a second time, as a child that ends with code 3 when a file has changed,
and is started again. It would kill that child on Ctrl-C or SIGTERM. So signals do not reach Django
in the parent: a thread takes them, and asks the child to stop through a socket.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from django.apps import apps
from django.utils import autoreload

from wagtail_async_hooks.worker.supervisor import STOP_SIGNALS

if TYPE_CHECKING:
    from wagtail_async_hooks.worker.process import WorkerProcess

logger = logging.getLogger("wagtail_async_hooks.worker")

SOCKET: Final = "WAGTAIL_WORKER_PARENT"
"""The variable with the file descriptor of the child's end of the socket."""

LOOK_INTERVAL: Final = 0.5
"""Seconds between two looks at the code, where the worker could not start with it."""

_STOP: Final = b"s"
_WORKS: Final = b"w"
_INSTALLED: Final = {"site-packages", "dist-packages"}


def is_child() -> bool:
    """Return whether this process is the one that works, rather than the one that restarts it."""
    return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true" and SOCKET in os.environ


# The parent ---------------------------------------------------------------------------------


def keep_running() -> NoReturn:
    """Run this command in a child, and anew whenever code has changed, until a signal comes.

    :raises SystemExit: at the end.
    """
    _Parent().run()


class _Parent:
    """The process that starts the command anew."""

    def __init__(self) -> None:
        self._is_asked_to_stop = False
        self._has_worked = False
        self._socket, self._childs = socket.socketpair()
        self._socket.setblocking(False)
        self._childs.set_inheritable(True)
        os.environ[SOCKET] = str(self._childs.fileno())

    def run(self) -> NoReturn:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        threading.Thread(target=self._pass_signals_on, name="signals", daemon=True).start()
        while True:
            code = self._code_of_child()
            if self._is_asked_to_stop:
                sys.exit(0)
            self._has_worked = self._has_worked or self._has_heard(_WORKS)
            if not code or not self._has_worked:
                sys.exit(code)
            self._wait_for_change()

    def _code_of_child(self) -> Any:
        """Let Django run the command, anew after each change; return another exit code than 3."""
        try:
            autoreload.run_with_reloader(_nothing)
        except SystemExit as left:
            return left.code
        return 0

    def _pass_signals_on(self) -> None:
        while True:
            signal.sigwait(STOP_SIGNALS)
            self._is_asked_to_stop = True
            self._socket.send(_STOP)

    def _has_heard(self, message: bytes) -> bool:
        try:
            return message in self._socket.recv(4096)
        except BlockingIOError:
            return False

    def _wait_for_change(self) -> None:
        before = dict(_written())
        logger.error("The worker did not start again; it is tried when the code has changed.")
        while not self._is_asked_to_stop and dict(_written()) == before:
            time.sleep(LOOK_INTERVAL)
        if self._is_asked_to_stop:
            sys.exit(0)


def _nothing() -> None:
    """In a child, what Django's reloader would run; in the parent, nobody calls it."""


def _written() -> Iterator[tuple[Path, float]]:
    """Yield the files with code of the site, and when each was written."""
    files = set(autoreload.iter_all_python_module_files())
    for folder in _folders():
        files.update(folder.rglob("*.py"))
    for file in files:
        try:
            yield file, file.stat().st_mtime
        except OSError:  # it was deleted
            continue


def _folders() -> list[Path]:
    """Return where the site's own apps are."""
    folders = [Path(app.path) for app in apps.get_app_configs()]
    return [folder for folder in folders if not _INSTALLED & set(folder.parts)]


# The child ----------------------------------------------------------------------------------


def begin_child() -> None:
    """Hear of signals from the parent alone, which gets those of a terminal as well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    parent = _parents_socket()
    threading.Thread(target=_hear, args=[parent], name="signals", daemon=True).start()


@cache
def _parents_socket() -> socket.socket:
    found = socket.socket(fileno=int(os.environ[SOCKET]))
    found.set_inheritable(False)  # what a task starts has nothing to do with it
    return found


def _hear(parent: socket.socket) -> None:
    """Stop this process when the parent asks for it, and a second time, or when that is gone."""
    while True:
        is_there = parent.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)
        if not is_there:
            return


def run(process: WorkerProcess) -> int:
    """Let a worker work until code changes, or until the parent asks to stop.

    :returns: the exit code, which says whether to start anew.
    """
    process.prepare()
    code: Any = 0
    try:
        signal.signal(signal.SIGTERM, _leave)
        _parents_socket().send(_WORKS)
        autoreload.autoreload_started.connect(_watch_all)
        autoreload.run_with_reloader(_attend, process)
    except SystemExit as left:
        code = left.code
    return process.end_attended(code or 0)


def _watch_all(sender: Any, **kwargs: Any) -> None:
    """Watch modules of the site's apps that could not be imported, too; Django sees no others."""
    for folder in _folders():
        sender.watch_dir(folder, "**/*.py")


def _leave(*args: Any) -> NoReturn:
    sys.exit(0)


def _attend(process: WorkerProcess) -> None:
    # By now Django knows that this is the child; what a task starts is none.
    os.environ.pop(autoreload.DJANGO_AUTORELOAD_ENV, None)
    os.environ.pop(SOCKET, None)
    process.attend()
