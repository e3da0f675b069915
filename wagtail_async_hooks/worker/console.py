"""Standard error as the worker's log: the steps of tasks are written together where they are many.

Each write lets another thread go on, and waits for its turn again, which takes longer than a short
task. ``logging.handlers.MemoryHandler`` writes by number and not by time, so that a line could wait
for hours; ``QueueHandler`` needs a record for each line, which takes longer than the line.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import Final, TextIO

from wagtail_async_hooks.utils.text import visible

FORMAT: Final = "%(asctime)s [%(process)d %(threadName)s] %(levelname)s %(message)s"
"""Format of the lines where the site's ``LOGGING`` has none: time, process and thread, level."""

WRITE_INTERVAL: Final = 0.1
"""Seconds for which the line of a step is kept at most, while others are written."""


class HarmlessFormatter(logging.Formatter):
    """Formats lines that do nothing to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        return visible(super().format(record), lines=True)


class Console(logging.Handler):
    """A handler for a stream.

    Records are written at once, after all lines that came before. A step of a task at a lower level
    than WARNING is, if nothing was written in the last :data:`WRITE_INTERVAL`; else it is kept that
    long at most, and written with those that follow.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.setFormatter(HarmlessFormatter(FORMAT))
        self._stream = stream
        self._second = (0, "")
        self.begin()
        _all.add(self)

    def begin(self) -> None:
        """Begin with nothing to write, as a forked process does: its parent writes what it had."""
        self._lines: deque[str] = deque()
        self._written_at = float("-inf")
        self._writing = threading.Lock()
        self._kept = threading.Event()
        self._writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        try:
            line = f"{self.format(record)}\n"
        except Exception:
            self.handleError(record)
            return
        is_step = record.levelno < logging.WARNING and hasattr(record, "action")
        self._add(line, may_wait=is_step)

    def tell_step(self, level: str, message: str) -> None:
        """Write what a record would say, without one."""
        now = time.time()
        where = f"[{os.getpid()} {threading.current_thread().name}]"
        line = f"{self._told_time(now)} {where} {level} {message}"
        self._add(f"{visible(line, lines=True)}\n", may_wait=True)

    def flush(self) -> None:
        """Write what is kept; ``logging.shutdown()`` calls it too."""
        with self._writing:
            self._written_at = time.monotonic()
            lines = self._lines
            text = "".join(lines.popleft() for _ in range(len(lines)))
            if not text:
                return
            try:
                self._stream.write(text)
                self._stream.flush()
            except Exception:
                self.handleError(logging.makeLogRecord({"msg": text}))

    def _add(self, line: str, *, may_wait: bool) -> None:
        self._lines.append(line)
        if not may_wait or time.monotonic() - self._written_at >= WRITE_INTERVAL:
            self.flush()
        elif not self._kept.is_set():
            self._keep()

    def _keep(self) -> None:
        """Have what is there written soon."""
        self._kept.set()
        if self._writer is None and not self._start_writer():
            self.flush()

    def _start_writer(self) -> bool:
        """Return whether a thread writes what is kept; none starts while the interpreter ends."""
        with self._writing:
            if self._writer is None:
                writer = threading.Thread(target=self._write_soon, name="Log", daemon=True)
                try:
                    writer.start()
                except RuntimeError:
                    return False
                self._writer = writer
        return True

    def _write_soon(self) -> None:
        while self._kept.wait():
            time.sleep(WRITE_INTERVAL)
            self._kept.clear()
            self.flush()

    def _told_time(self, now: float) -> str:
        """Return a time as ``logging.Formatter`` does, which makes all of it for each record."""
        second = int(now)
        known, told = self._second
        if second != known:
            told = time.strftime(logging.Formatter.default_time_format, time.localtime(second))
            self._second = (second, told)
        return f"{told},{int((now - second) * 1000):03d}"


def sole_console(logger: logging.Logger) -> Console | None:
    """Return the console, if nobody but it would get the records of a logger.

    ``None`` also where something looks at records on their way: filters, a factory, or what tools
    such as Sentry put in the place of logging's own method.
    """
    if logger.filters or logging.getLogRecordFactory() is not logging.LogRecord:
        return None
    if type(logger).callHandlers.__module__ != "logging":
        return None
    found: Console | None = None
    here: logging.Logger | None = logger
    while here is not None:
        for handler in here.handlers:
            if found is not None or not isinstance(handler, Console):
                return None
            found = handler
        here = here.parent if here.propagate else None
    return None if found is None or found.filters or found.level else found


def _begin_all() -> None:
    for console in _all:
        console.begin()


_all: Final[weakref.WeakSet[Console]] = weakref.WeakSet()
os.register_at_fork(after_in_child=_begin_all)
