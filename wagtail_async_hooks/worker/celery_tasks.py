"""What Celery sees: the task that its messages name, and where its processes begin and end.

Imported with the app where ``BACKEND`` is ``"celery"``, in all processes of the site. So it loads
no more than Celery, and the rest where Celery's workers are.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from inspect import isfunction
from typing import TYPE_CHECKING, Any, Final, cast

from billiard import current_process
from celery import shared_task, signals
from celery.concurrency import get_implementation

from wagtail_async_hooks.storage.celery import TASK
from wagtail_async_hooks.utils import catching

if TYPE_CHECKING:
    from wagtail_async_hooks.worker.celery_worker import CeleryWorker

logger = logging.getLogger("wagtail_async_hooks.worker")

GREEN: Final = (
    "This Celery worker has the pool %s, in which background tasks cannot run: they need threads "
    "of the system. Start one with --pool=prefork, threads or solo for them, with a queue of its "
    'own by WAGTAIL_TASKS["BACKEND_OPTIONS"]["queue"] if this one is to stay.'
)


class _Process:
    """The worker of this process, and what is known of Celery's pool."""

    worker: CeleryWorker | None = None
    pid = 0
    threads = 1
    green_pool = ""
    other_queue: str | None = None
    """Where our messages go to, if Celery's worker does not serve that; ``None`` if it does. If one
    comes all the same, the worker of this process begins then."""
    lock = threading.Lock()
    time_limit: float | None = None
    """Celery's, in seconds, of tasks that have none of their own."""


def run(self: Any, rest: bool = False, **unknown: Any) -> None:
    """Claim the next background task, and run it; a message without one finds nothing.

    :param self: the task as Celery calls it.
    :param rest: whether the message stands for all that waits.
    :param unknown: what a later release may send.
    """
    if _Process.green_pool:
        logger.error(GREEN, _Process.green_pool)
        return
    limit = (self.request.timelimit or [None])[0] or self.time_limit or _Process.time_limit
    with _Term(limit):
        _worker().run(rest=bool(rest))


class _Term:
    """Context in which SIGTERM, by which Celery ends a process of its pool, does what it should.

    It stops the task, which is handed back. After Celery's time limit it kills the process at
    once, as Celery would a moment later: that counts as a death of the task, else one that takes
    longer than the limit would be begun again for ever.

    :param limit: Celery's time limit, in seconds.
    """

    def __init__(self, limit: float | None) -> None:
        self._expires_at = time.monotonic() + 0.9 * limit if limit else float("inf")

    def __enter__(self) -> None:
        self._celerys: Any = signal.getsignal(signal.SIGTERM)
        self._is_set = isfunction(self._celerys) and _is_in_main_thread_of_child()
        if self._is_set:
            # Celery's resets itself before it raises, so that nobody could tell what raised it.
            catching.stops_from(cast(Any, self._celerys))
            signal.signal(signal.SIGTERM, self._handle)

    def __exit__(self, *how: object) -> None:
        if self._is_set and signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._celerys)

    def _handle(self, number: int, frame: Any) -> None:
        if time.monotonic() >= self._expires_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._celerys(number, frame)


def _is_in_main_thread_of_child() -> bool:
    """Return whether this process is one of a pool's, whose signals are for what runs in it."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and current_process()._name != "MainProcess"


def _worker() -> CeleryWorker:
    """Return the worker of this process, which begins if Celery has not said that it does."""
    with _Process.lock:
        worker = _Process.worker
        if worker is None or _Process.pid != os.getpid():
            from wagtail_async_hooks.queue.task_queue import background
            from wagtail_async_hooks.worker.celery_worker import CeleryWorker

            worker = _Process.worker = CeleryWorker(background, _Process.threads)
            _Process.pid = os.getpid()
            worker.start()
    return worker


def _prepare(sender: Any, **kwargs: Any) -> None:
    """Load what has tasks, once for all processes that are forked, and see which pool it is."""
    from django.core.management.base import CommandError

    from wagtail_async_hooks.worker.celery_worker import load_tasks

    pool = get_implementation(sender.pool_cls)
    if getattr(pool, "is_green", False):
        _Process.green_pool = pool.__module__.rpartition(".")[2]
        logger.error(GREEN, _Process.green_pool)
        return
    if not _has_processes(pool) and isinstance(sender.concurrency, int):
        _Process.threads = sender.concurrency
    _Process.time_limit = sender.time_limit
    _Process.other_queue = _other_queue(sender)
    if _Process.other_queue is not None:
        return
    try:
        load_tasks()
    except CommandError as error:
        logger.error("%s", error)  # each process says what that means


def _begin(**kwargs: Any) -> None:
    """Begin in a process of the prefork pool, or in the only one of the solo pool."""
    if not _Process.green_pool and _Process.other_queue is None:
        _Process.lock = threading.Lock()  # the parent's may have been taken
        _worker()


def _begin_with_threads(sender: Any, **kwargs: Any) -> None:
    """Begin where tasks run in threads of the main process."""
    if _Process.other_queue is not None:
        logger.info(
            'This Celery worker does not serve the queue "%s", so it runs no background tasks.',
            _Process.other_queue,
        )
    elif not _Process.green_pool and not _has_processes(type(sender.pool)):
        _worker()


def _end(**kwargs: Any) -> None:
    """End with the process; what still runs then is waited for, as Celery does."""
    with _Process.lock:
        worker, _Process.worker = _Process.worker, None
    if worker is not None and _Process.pid == os.getpid():
        worker.stop()


def _other_queue(controller: Any) -> str | None:
    """Return where our messages go to, if a worker of Celery's takes none from there.

    A site may have several, each for some of its queues; only those that run background tasks are
    to be known as workers.
    """
    from wagtail_async_hooks import conf
    from wagtail_async_hooks.exceptions import ConfigurationError
    from wagtail_async_hooks.storage.factory import make_notifier

    try:
        notifier = make_notifier(conf.current(), "celery")
    except ConfigurationError as error:
        logger.error("%s", error)
        return ""
    queue = notifier.queue_name()
    serves = queue in controller.app.amqp.queues.consume_from
    return None if serves and notifier.app.main == controller.app.main else queue


def _has_processes(pool: Any) -> bool:
    """Return whether a pool runs tasks in processes of their own."""
    from celery.concurrency.prefork import TaskPool

    return isinstance(pool, type) and issubclass(pool, TaskPool)


shared_task(
    name=TASK,
    bind=True,
    ignore_result=True,
    store_errors_even_if_ignored=False,
    track_started=False,
    # What is lost with a process is in the ledger, from where another worker takes it.
    acks_late=False,
    reject_on_worker_lost=False,
)(run)

signals.worker_init.connect(_prepare, weak=False)
signals.worker_process_init.connect(_begin, weak=False)
signals.worker_ready.connect(_begin_with_threads, weak=False)
signals.worker_process_shutdown.connect(_end, weak=False)
signals.worker_shutdown.connect(_end, weak=False)
