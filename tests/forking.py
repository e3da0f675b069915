"""Processes of the tests that begin with Django loaded: copies of one that has loaded it.

Loading Django and Wagtail takes more than a second of processor time, and the tests start some
hundred processes. ``multiprocessing``'s fork server loads them once; a copy reads the settings
anew, from its own environment, and runs what a fresh interpreter would. What differs by more than
the variables that the settings read starts afresh, see :func:`can_fork`.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

SETTINGS: Final = "tests.settings"
READ_BY_SETTINGS: Final = ("SITE_", "TEST_")

ENVIRONMENT: Final = dict(os.environ)
"""The variables of the tests' process as it began: those that the fork server has."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.loaded"])


def can_fork(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether a copy would do what a fresh process does."""
    differs = {
        name
        for name in environment.keys() | ENVIRONMENT.keys()
        if environment.get(name) != ENVIRONMENT.get(name)
        and not name.startswith(READ_BY_SETTINGS)
        and not name.startswith("PYTEST_")
    }
    return (
        not differs
        and command[0] == sys.executable
        and (command[1] == "-m" or not command[1].startswith("-"))
        and environment.get("DJANGO_SETTINGS_MODULE") == SETTINGS
        and environment.get("SITE_DATABASE") == ENVIRONMENT.get("SITE_DATABASE")
        and environment.get("SITE_DATA") == ENVIRONMENT.get("SITE_DATA")
    )


class Forked:
    """A copy of the loaded process, with as much of ``Popen``'s interface as the tests need.

    :param command: as for ``Popen``, of a script or a module.
    :param output: file for what it prints.
    """

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self._process = _context.Process(
            target=_run, args=(command[1:], environment, str(output)), name=" ".join(command[1:3])
        )
        with mock.patch.dict(os.environ, ENVIRONMENT, clear=True):  # the first starts the server
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; that of a process that a signal has killed is negative."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code if it has ended."""
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended.

        :raises subprocess.TimeoutExpired: if it has not by then.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self.returncode


def _run(arguments: list[str], environment: dict[str, str], output: str) -> None:
    """Become what a fresh process would be, and run its command."""
    os.setsid()
    sink = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(sink, stream)
    os.close(sink)
    os.environ.clear()
    os.environ.update(environment)
    _read_settings_anew()
    with _coverage():
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")


@contextmanager
def _coverage() -> Iterator[None]:
    """Measure the coverage of a copy as that of a fresh process, if it is measured at all."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:
        yield
        return
    from coverage import Coverage, process_startup

    if inherited := Coverage.current():
        inherited.stop()
    own = process_startup(force=True)
    assert own is not None
    try:
        yield
    finally:
        own.stop()
        own.save()


def _read_settings_anew() -> None:
    """Have Django and the package see the settings as this process's environment says them."""
    from asgiref.local import Local
    from django.conf import Settings, settings
    from django.core.signals import setting_changed
    from django.db import connections

    before: Any = settings._wrapped
    for module in ("tests.site.settings", SETTINGS):
        importlib.reload(importlib.import_module(module))
    after = settings._wrapped = Settings(SETTINGS)
    connections.__dict__.pop("settings", None)
    connections._settings = None
    connections._connections = Local(connections.thread_critical)
    for name in dir(after):
        if name.isupper() and name != "DATABASES":
            value = getattr(after, name)
            if value != getattr(before, name, None):
                setting_changed.send(sender=Settings, setting=name, value=value, enter=True)
