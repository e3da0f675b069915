"""Ends of commands that need no traceback: Ctrl-C, and output that nobody reads any more."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it for what SIGINT has ended."""

NOT_READ: Final = 141
"""Exit code where whatever read the output has ended, as shells have it for SIGPIPE."""


@contextmanager
def without_traceback() -> Iterator[None]:
    """Let a command end quietly on Ctrl-C, and where ``| head`` has read enough.

    It surrounds what a shell has started, and not what code calls, which wants its exceptions.

    :raises SystemExit: with :data:`INTERRUPTED` or :data:`NOT_READ`.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_unread():  # a connection of the command's own has broken
            raise
        _forget_output()
        sys.exit(NOT_READ)
    except KeyboardInterrupt:
        _flush()
        sys.stderr.write("\nInterrupted.\n" if sys.stderr.isatty() else "Interrupted.\n")
        sys.exit(INTERRUPTED)
    except SystemExit:
        _flush()
        raise


def _flush() -> None:
    """Print what is still to be printed, if somebody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()


def _is_unread() -> bool:
    """Return whether the standard output is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return any(event & select.POLLERR for _file, event in poll.poll(0))


def _forget_output() -> None:
    """Lead the standard output nowhere, as Python writes the rest of it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
