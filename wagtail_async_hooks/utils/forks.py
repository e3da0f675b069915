"""Processes that a task's function forks: what they inherit, and what ends those that come back.

A child that returns from the function is a copy of the worker with one thread. It must not go on
as one: it shares the parent's database connections, and nobody hears of it. So it ends there. What
``multiprocessing`` starts never comes back; such a child gets the default signal handlers, and
connections of its own.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

logger = logging.getLogger(__name__)

_DEFAULTS: Final[dict[signal.Signals, Any]] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


class _Process:
    """What is known of this process.

    :param generation: how many forks it is away from the process that loaded this module.
    :param is_worker: whether it is a worker, and not a child of one.
    :param is_alone: whether it is nothing but a worker.
    """

    generation = 0
    is_worker = False
    is_alone = True


class _Thread(threading.local):
    """What is known of this thread.

    :param runs_tasks: whether it is one of a worker's that run tasks.
    """

    runs_tasks = False


_thread: Final = _Thread()


_wrappers: Final[dict[int, weakref.ref[BaseDatabaseWrapper]]] = {}
"""The database connections of all threads, in a worker."""

_inherited: Final[dict[int, list[Any]]] = {}
"""The drivers' connections, by the thread that forks: none may be closed in the child, not even
when the threads that the child lacks are tidied up, since some drivers say good-bye to the server
over the connection that the parent uses."""


def generation() -> int:
    """Return a number that differs between a process and those that it forks."""
    return _Process.generation


def end_if_forked(since: int, name: Callable[[], str], error: BaseException | None = None) -> None:
    """End this process at once if it was forked since a moment: it came back where it must not.

    :param since: the :func:`generation` at that moment.
    :param name: returns what has forked it, for the log.
    :param error: with what it came back; ``sys.exit()`` is a proper end, with its exit code.
    """
    if _Process.generation == since:
        return
    code = 0
    try:
        code = _exit_code(error)
        if not isinstance(error, SystemExit):
            told = "The process %d, which %s has forked, came back from its function and ends here."
            logger.warning(told, os.getpid(), name(), exc_info=error)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
    finally:
        os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    if not isinstance(error, SystemExit):
        return 0 if error is None else 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def begin_worker(*, alone: bool = True) -> None:
    """This process is a worker from now on: what it forks begins afresh.

    :param alone: whether it is nothing but a worker. Otherwise what its other threads fork is left
        as it is, except that it closes none of the worker's connections.
    """
    _Process.is_worker = True
    _Process.is_alone = alone
    connection_created.connect(_connected, dispatch_uid=__name__)
    for wrapper in connections.all(initialized_only=True):
        _connected(connection=wrapper)


def begin_thread() -> None:
    """This thread runs a worker's tasks from now on."""
    _thread.runs_tasks = True


def end_worker() -> None:
    """This process is no worker any more."""
    _Process.is_worker = False
    connection_created.disconnect(dispatch_uid=__name__)
    _wrappers.clear()


def _connected(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    key = id(connection)
    if key not in _wrappers:
        _wrappers[key] = weakref.ref(connection, lambda _: _wrappers.pop(key, None))


def _alive() -> list[BaseDatabaseWrapper]:
    wrappers = (reference() for reference in list(_wrappers.values()))
    return [wrapper for wrapper in wrappers if wrapper is not None]


def _before() -> None:
    if _wrappers:
        _inherited[threading.get_ident()] = [wrapper.connection for wrapper in _alive()]


def _after_in_parent() -> None:
    _inherited.pop(threading.get_ident(), None)


def _after_in_child() -> None:
    _Process.generation += 1
    if not _Process.is_worker:
        return
    _Process.is_worker = False  # what this one forks inherits its own signal handlers
    if not (_Process.is_alone or _thread.runs_tasks):
        return
    for number, handler in _DEFAULTS.items():
        signal.signal(number, handler)
    for wrapper in _alive():
        wrapper.connection = None
        wrapper.in_atomic_block = False
        _forget_pools(wrapper)


def _forget_pools(wrapper: BaseDatabaseWrapper) -> None:
    """Have the child make a pool of its own; the parent's hands out the parent's connections."""
    pools: dict[str, Any] | None = getattr(wrapper, "_connection_pools", None)
    if pools:
        _inherited.setdefault(0, []).extend(pools.values())
        pools.clear()


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
