"""Real processes for tests: the site's commands on the tests' database, with their output kept."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE = float(os.environ.get("TEST_PATIENCE", "60"))
"""Seconds after which a condition that does not come true is a failure."""


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


class Process:
    """A process of the tests, ended with them.

    :param command: what to run.
    :param output: file for what it prints.
    """

    def __init__(self, command: list[str], output: Path, **environment: str) -> None:
        self.output = output
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={**os.environ, **environment},
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pid = self._process.pid

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

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the match once it has printed what matches a pattern."""

        def look() -> re.Match[str] | None:
            match = re.search(pattern, self.said())
            if match is None and self._process.poll() is not None:
                code = self._process.returncode
                raise AssertionError(f"It ended with {code} before {pattern!r}:\n{self.said()}")
            return match

        found: re.Match[str] = wait_until(look, f"it prints {pattern!r}, but:\n{self.said()}")
        return found

    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

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
        """End it, by force if need be."""
        if self.is_running():
            self.send(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
