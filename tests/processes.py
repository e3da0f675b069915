"""Real processes for tests: the site's commands on the tests' database, with their output kept.

Each leads a group of its own, which ends with it. Those that differ from the tests only by the
site's settings are copies of one that has loaded Django, see :mod:`tests.forking`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from django.db import connection

from tests import forking
from tests.limits import ENDING, PATIENCE

REPOSITORY = Path(__file__).resolve().parents[1]


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return the condition's value once it is true.

    :raises AssertionError: if that takes longer than ``patience`` seconds; says what was expected.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"In {patience:g} s it did not come true that {what}.")


_all: Final[weakref.WeakSet[Process]] = weakref.WeakSet()


def end_all() -> None:
    """End what still runs; a test or a fixture that has started it should have."""
    for process in list(_all):
        process.stop()


class Process:
    """A process of the tests, ended with them.

    :param command: what to run.
    :param output: file for what it prints.
    :param stdin: what it reads from, such as a terminal.
    """

    _process: forking.Forked | subprocess.Popen[bytes]

    def __init__(
        self,
        command: list[str],
        output: Path,
        *,
        stdin: int = subprocess.DEVNULL,
        **environment: str,
    ) -> None:
        if "wagtail_worker" in command and "--reload" not in command:
            command = [*command, "--noreload"]  # else DEBUG would add a process
        self.output = output
        output.touch()
        complete = {**os.environ, **environment}
        if stdin == subprocess.DEVNULL and forking.can_fork(command, complete):
            self._process = forking.Forked(command, complete, output)
        else:
            with output.open("ab") as sink:
                self._process = subprocess.Popen(
                    command,
                    cwd=REPOSITORY,
                    env=complete,
                    stdout=sink,
                    stderr=sink,
                    stdin=stdin,
                    start_new_session=True,
                )
        self.pid = self._process.pid
        _all.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self.stop()

    @classmethod
    def manage(cls, *arguments: str, output: Path, **environment: str) -> Process:
        """Start a management command of the test site on the tests' database."""
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "SITE_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            **environment,
        }
        command = [sys.executable, "tests/site/manage.py", *arguments]
        return cls(command, output, **environment)

    def said(self) -> str:
        """Return all that it has printed so far."""
        return self.output.read_text(errors="replace")

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Return the match once it has printed what matches a pattern."""

        def look() -> re.Match[str] | None:
            match = re.search(pattern, self.said())
            if match is None and self._process.poll() is not None:
                code = self._process.returncode
                raise AssertionError(f"It ended with {code} before {pattern!r}:\n{self.said()}")
            return match

        what = f"it prints {pattern!r}, but:\n{self.said()}"
        found: re.Match[str] = wait_until(look, what, patience)
        return found

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def is_stopped(self) -> bool:
        """Return whether it stands still after a SIGSTOP."""
        status = Path(f"/proc/{self.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Return its exit code once it has ended."""
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"After {patience:g} s it still runs:\n{self.said()}") from None

    def stop(self) -> None:
        """End it, by force if need be, and whatever it has started in its group."""
        self.send(signal.SIGTERM)
        with suppress(ProcessLookupError):
            self.send(signal.SIGCONT)  # a frozen one would not hear it
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def run_site_tests(name: str, folder: Path) -> None:
    """Run the tests of a site of its own, ``tests/<name>/``, in a process and a database of it.

    :raises AssertionError: if one of them fails; says what was printed.
    """
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    command += ["--ds", f"tests.{name}.settings", f"tests/{name}/site_tests.py"]
    variables = {"SITE_DATA": folder, "SITE_TEST_DATABASE_NAME": folder / "test.sqlite3"}
    environment = {key: str(value) for key, value in variables.items()}
    with Process(command, folder / "output.txt", **environment) as process:
        assert process.wait() == 0, process.said()
