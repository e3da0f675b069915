"""Enqueue a task in the middle of somebody else's work, without a risk for that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from django.apps import apps
from django.db import connections, router, transaction

from wagtail_async_hooks.conf import installed
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.queue import connection_guard
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils import coroutines
from wagtail_async_hooks.utils.catching import as_exception, passes
from wagtail_async_hooks.utils.database.transactions import guarded, is_open
from wagtail_async_hooks.utils.errors import report

logger = logging.getLogger(__name__)

Otherwise = Callable[[Exception], None]
Make = Callable[[], QueuedTask]


def enqueue(task: QueuedTask, otherwise: Otherwise) -> None:
    """Enqueue a task, in the caller's transaction; whatever happens, that is as it was before.

    :param otherwise: see :func:`make_and_enqueue`.
    :raises Exception: see there.
    """
    make_and_enqueue(lambda: task, otherwise)


def make_and_enqueue(make: Make, otherwise: Otherwise, ahead: Sequence[Make] = ()) -> bool:
    """Make a task and enqueue it, in the caller's transaction; that is as it was before.

    Within a coroutine this is done in another thread, outside of any transaction.

    Where the ledger is in another database than the pages and cannot share their transaction, the
    task is enqueued right after that has committed.

    :param make: returns the task.
    :param otherwise: called with the error where it cannot be made, or not be enqueued.
    :param ahead: make the tasks of the calls that come next, to be enqueued by the same INSERT; see
        :mod:`.ahead`.
    :returns: whether those were enqueued: all of them, or none.
    :raises Exception: if the caller's transaction is lost: it was broken before, the database has
        rolled it back (a deadlock of MySQL and MariaDB), or the connection is gone. The transaction
        is marked for a rollback, and nothing is called.
    """
    if coroutines.refuses_statements():
        # The function is called by a signal or a hook, whose sender is not to fail for it.
        coroutines.call_beside(partial(make_and_enqueue, make, otherwise))
        return False
    if installed.is_missing():
        otherwise(ConfigurationError(f"{installed.MISSING}. {installed.HINT}"))
        return False
    pages = _database_of_pages()
    if background.immediate or pages == background.storage.ledger.database():
        if ahead and _enqueue_together([make, *ahead], pages):
            return True
        with guarded(otherwise):
            _enqueue(make())
        return False
    with guarded(otherwise):
        _after_commit(partial(_enqueue_alone, make(), otherwise), pages)
    return False


def _enqueue_together(makes: Sequence[Make], alias: str) -> bool:
    """Make several tasks and enqueue them by one INSERT; return ``False`` if that cannot be.

    Then nothing was enqueued, and each is a matter of its own, as is what is done about its error.
    """
    connection = connections[alias]
    if background.immediate or (is_open(connection) and not connection.in_atomic_block):
        return False  # of a rollback that Django does not make, nobody would learn
    failed: list[Exception] = []
    with guarded(failed.append):
        background.enqueue_many([make() for make in makes])
    return not failed


def _enqueue_alone(task: QueuedTask, otherwise: Otherwise) -> None:
    """Enqueue a task after the commit of the pages' database: what is theirs is safe."""
    try:
        with guarded():
            _enqueue(task)
    except BaseException as error:
        if passes(error):
            raise
        otherwise(as_exception(error))


def _after_commit(action: Callable[[], None], pages: str) -> None:
    connection = transaction.get_connection(pages)
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(action, using=pages, robust=True)
    else:  # Django does not learn when a transaction commits that it has not begun
        action()


def _enqueue(task: QueuedTask) -> None:
    result = background.enqueue(task)
    if background.immediate:
        result.get_raw_result()  # nobody asks for it: do not let it pile up


def run_here(told: str, run: Callable[[], Any]) -> None:
    """Run in the request what could not be enqueued; an error is logged, and undoes nothing else.

    :param told: what it is, for the log.
    :raises Exception: if the transaction of the caller is lost, see :func:`make_and_enqueue`.
    """
    if coroutines.refuses_statements():
        coroutines.call_beside(partial(run_here, told, run))
        return
    with guarded(lambda error: report(logger, error, "%s failed in the request.", told)):
        connection_guard.call(run, lambda: told)


def _database_of_pages() -> str:
    return router.db_for_write(_page_model())


@cache
def _page_model() -> Any:
    return apps.get_model("wagtailcore", "Page")
