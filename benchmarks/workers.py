"""The workers of a contender, started for a run and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import proc, work
from benchmarks.lab import REPOSITORY

PATIENCE = 300.0
"""Seconds after which tasks that are not done are given up."""


class Workers:
    """Processes that run tasks.

    :param commands: what starts each.
    """

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self._output = Path(os.environ["SITE_DATA"]) / "workers.txt"
        with self._output.open("ab") as sink:
            self._processes = [
                subprocess.Popen(
                    command,
                    cwd=REPOSITORY,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    start_new_session=True,
                )
                for command in commands
            ]

    def wait_for(self, tasks: int, pause: float) -> None:
        """Return once so many tasks are done.

        :param pause: seconds between two looks.
        :raises RuntimeError: if a worker ends, or it takes too long; says what they printed.
        """
        deadline = time.monotonic() + PATIENCE
        while work.count() < tasks:
            if self.have_ended or time.monotonic() > deadline:
                raise RuntimeError(f"{work.count()} of {tasks} tasks are done:\n{self.said()}")
            time.sleep(pause)

    @property
    def have_ended(self) -> bool:
        """Whether one of them has ended by itself."""
        return any(process.poll() is not None for process in self._processes)

    def processes(self) -> list[int]:
        """Return the numbers of all processes that run now, also of those they have started."""
        return [pid for process in self._processes for pid in proc.session(process.pid)]

    def kill(self) -> None:
        """End them and all that they have started with no chance to tidy up, as ``kill -9``."""
        for process in self._processes:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            for pid in proc.session(process.pid):
                os.kill(pid, signal.SIGKILL)  # what is in a group of its own
            process.wait()

    def said(self) -> str:
        """Return what they have printed."""
        return self._output.read_text(errors="replace")

    def stop(self) -> None:
        """End them, by force if need be, together with the processes that they have started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def working(commands: Sequence[Sequence[str]]) -> Iterator[Workers]:
    """Have workers run."""
    workers = Workers(commands)
    try:
        yield workers
    finally:
        workers.stop()
