"""How far a function has come: ``progress()`` and ``track()``, for whoever waits for it.

Within a background task the numbers go into its row, at most twice a second, and a task that
somebody has cancelled ends there. Run by hand in a terminal, they are shown as a line.
"""

from __future__ import annotations

import logging
import operator
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Final, SupportsIndex, TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, transaction
from django.utils.functional import Promise
from huey.exceptions import CancelExecution

from wagtail_async_hooks import current_task, signals
from wagtail_async_hooks.current_task import Running
from wagtail_async_hooks.queue.claims import CANCELLED
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import Progress
from wagtail_async_hooks.utils.text import one_line, shortened, visible

logger = logging.getLogger(__name__)

INTERVAL: Final = 0.5
"""Seconds between two writes; what is reported in between is not written, unless it is the last."""

MOST: Final = 2**63 - 1
"""What the columns of the row hold at most."""

_WIDTH: Final = 30

T = TypeVar("T")


def progress(done: int, total: int | None = None, note: str = "") -> None:
    """Report how far the function that calls this has come.

    Inside a transaction, others see it when that commits.

    :param done: how much is done, e.g. how many objects.
    :param total: the total; ``None`` if it is not known.
    :param note: what it is doing, in a few words.
    :raises CancelExecution: if somebody has cancelled the task. Let it pass.
    :raises TypeError: if ``done`` or ``total`` is no whole number, or ``note`` is no text.
    :raises ValueError: if a number is negative, or has more than 63 bits.
    """
    reported = _checked(done, total, note)
    running = current_task.running()
    if running is None:
        show(reported)
    elif running.claim is not None:
        _report(running, reported)


aprogress = sync_to_async(progress)
"""The same, for coroutines."""


def track(items: Iterable[T], total: int | None = None, note: str = "") -> Iterator[T]:
    """Yield items, and report how many of them are done.

    :param items: a list, a queryset, or anything to iterate over.
    :param total: how many there are; counted if they can be.
    :param note: see :func:`progress`.
    :raises CancelExecution: see :func:`progress`; the items yielded so far are done.
    """
    if total is None:
        total = _count(items)
    done = 0
    progress(done, total, note)
    for item in items:
        yield item
        done += 1
        progress(done, total, note)
    if current_task.running() is None:
        end_line()


def _count(items: Iterable[object]) -> int | None:
    from django.db.models import QuerySet

    if isinstance(items, QuerySet):
        return items.count()  # its len() would read all of them
    return len(items) if isinstance(items, Sized) else None


def _checked(done: object, total: object, note: object) -> Progress:
    """Return what is reported, such as the columns of every database can hold."""
    if not isinstance(note, str | Promise):
        raise TypeError(f"progress(note=…) should be a text, but is {_shown(note)}.")
    whole = None if total is None else _whole("total", total)
    return Progress(_whole("done", done), whole, str(note))


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"progress({name}=…) should be a whole number, but is {_shown(value)}.")
    number = operator.index(value)
    if not 0 <= number <= MOST:
        raise ValueError(
            f"progress({name}=…) should be between 0 and {MOST}, but is {_shown(value)}."
        )
    return number


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    return shortened(repr(value), 100)


def _report(running: Running, reported: Progress) -> None:
    now = time.monotonic()
    running.progress = reported  # should this be the last, it is written with the outcome
    if running.reported_at is not None and now - running.reported_at < INTERVAL:
        return
    assert running.claim is not None
    try:
        goes_on = background.storage.ledger.report(running.claim, reported)
    except (DatabaseError, InterfaceError) as error:
        if transaction.get_connection(background.storage.ledger.database()).in_atomic_block:
            raise  # the function's own transaction is broken
        logger.warning(
            "How far %s has come cannot be written: %s", str(running.claim), one_line(error)
        )
        running.reported_at = now
        return
    if not goes_on:
        raise CancelExecution(CANCELLED, retry=False)
    running.reported_at, running.progress = now, None
    signals.announce(
        signals.progressed, running.claim.sender, task=running.claim.info, progress=reported
    )


def show(reported: Progress) -> None:
    """Show how far something is as a line of the terminal, in the place of the last such line."""
    if not sys.stderr.isatty():
        return
    told = str(reported.done)
    if reported.total:
        filled = round(_WIDTH * min(1.0, reported.done / reported.total))
        bar = "█" * filled + "░" * (_WIDTH - filled)
        told = f"{bar} {reported.done}/{reported.total}"
    sys.stderr.write(f"\r\x1b[K{told} {visible(reported.note)}".rstrip())
    sys.stderr.flush()


def end_line() -> None:
    """Leave the line of the terminal that :func:`show` has written."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")
