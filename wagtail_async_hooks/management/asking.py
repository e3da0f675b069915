"""Questions before what cannot be undone: asked in a terminal, and never where nobody answers."""

from __future__ import annotations

import sys
from typing import TextIO

from django.core.management.base import CommandError

from wagtail_async_hooks.management.endings import INTERRUPTED


def confirm(what: str, *, refused: str, unasked: str) -> None:
    """Ask in the terminal whether to go on.

    :param what: what would happen, in one sentence.
    :param refused: the message if the answer is not yes.
    :param unasked: the message if there is no terminal, as in cron: nobody could answer.
    :raises CommandError: unless the answer is yes.
    """
    terminal = _terminal()
    if terminal is None:
        raise CommandError(unasked)
    terminal.write(f"{what}\nGo on? [y/N] ")
    terminal.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        terminal.write("\n")
        raise CommandError(refused, returncode=INTERRUPTED) from None
    if not answer.endswith("\n"):  # Ctrl-D
        terminal.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError(refused)


def _terminal() -> TextIO | None:
    """Return where to ask; ``None`` if nobody would see the question, or could answer it."""
    if not _is_terminal(sys.stdin):
        return None
    return next((each for each in (sys.stderr, sys.stdout) if _is_terminal(each)), None)


def _is_terminal(stream: TextIO | None) -> bool:
    # A daemon may have none of them.
    return stream is not None and not stream.closed and stream.isatty()
