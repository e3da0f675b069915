"""Recording a task in the middle of somebody else's work, without a risk for that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from typing import Any, Final

from django.apps import apps
from django.db import router, transaction
from huey.api import Task

from wagtail_async_hooks.catching import as_exception, passes
from wagtail_async_hooks.error_texts import report
from wagtail_async_hooks.queue import background

logger = logging.getLogger(__name__)

_proven: Final[set[str]] = set()
"""The databases in which this process has recorded a task: there is nothing missing there."""


def record(task: Task, otherwise: Callable[[Exception], None]) -> None:
    """Record a task, in the caller's transaction; whatever happens, the caller goes on.

    Where the ledger is in another database than the pages and cannot share their transaction, the
    task is recorded right after that has committed.

    :param task: what to record.
    :param otherwise: called with the error where it cannot be recorded.
    """
    pages = _database_of_pages()
    action = partial(_record, task, otherwise)
    if background.immediate or pages == background.storage.ledger.database():
        action()
    else:
        transaction.on_commit(action, using=pages, robust=True)


def _record(task: Task, otherwise: Callable[[Exception], None]) -> None:
    try:
        _enqueue(task)
    except BaseException as error:
        if passes(error):
            raise
        otherwise(as_exception(error))


def _enqueue(task: Task) -> None:
    if background.immediate:
        background.enqueue(task).get_raw_result()  # nobody asks for it: do not let it pile up
        return
    ledger = background.storage.ledger.database()
    if ledger not in _proven and transaction.get_connection(ledger).in_atomic_block:
        # A savepoint, so that a table which is not there yet does not undo the caller's change.
        # It costs two queries, so there is none once it has proved needless.
        with transaction.atomic(using=ledger):
            background.enqueue(task)
    else:
        background.enqueue(task)
    _proven.add(ledger)


def run_here(told: str, run: Callable[[], Any]) -> None:
    """Run in the request what could not be recorded; an error is logged, and undoes nothing else.

    :param told: what it is, for the log.
    """
    pages = _database_of_pages()
    inside = transaction.get_connection(pages).in_atomic_block
    try:
        # A savepoint, so that an error does not undo the editor's change.
        with transaction.atomic(using=pages) if inside else nullcontext():
            run()
    except BaseException as error:
        if passes(error):
            raise
        report(logger, error, "%s failed in the request.", told)


def _database_of_pages() -> str:
    return router.db_for_write(_page_model())


@cache
def _page_model() -> Any:
    return apps.get_model("wagtailcore", "Page")
