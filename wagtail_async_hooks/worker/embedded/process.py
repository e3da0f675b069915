"""When a web process begins and ends with the embedded worker.

It begins after the first request that a server hands to Django, so that neither a process that only
forks others nor a management command has one, and ends with the process. By the end of that request
the site's modules are imported: two threads that import them at once, in another order, may see
some that are half-way through.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished

from wagtail_async_hooks import conf
from wagtail_async_hooks.worker.embedded.thread import HostThread

logger = logging.getLogger("wagtail_async_hooks.worker")


class _State:
    """What this process has begun.

    :param is_over: whether it ends, or was told to have no worker any more.
    """

    lock = threading.Lock()
    host: HostThread | None = None
    is_over = False
    is_prepared = False


def connect() -> None:
    """Begin after the first request; called once, by the app, if the settings ask for a worker."""
    request_finished.connect(_after_request, dispatch_uid=__name__)


def start() -> None:
    """Start the embedded worker now, rather than after the first request.

    Without ``WAGTAIL_TASKS["WORKER"]["embedded"]``, do nothing. What tasks need is imported before
    this returns. Errors are logged, and do not reach the caller.
    """
    if not apps.ready:
        logger.error(
            "The embedded worker cannot start before Django is set up; call "
            "wagtail_async_hooks.embedded.start() later, such as in gunicorn's post_worker_init."
        )
    elif conf.current().worker.embedded:
        _begin(has_served=False)


def _begin(*, has_served: bool) -> None:
    """Begin, unless this process has, or is ending.

    :param has_served: whether a request has ended, so that the site's modules are imported.
    """
    with _State.lock:
        if _State.host is not None or _State.is_over:
            return
        try:
            _prepare()
            if not has_served:
                _import_ahead()
            _State.host = _make_host()
        except Exception:
            _State.is_over = True  # not once more for each request
            logger.exception("The embedded worker of process %d cannot start.", os.getpid())


def stop() -> None:
    """Stop the embedded worker: running tasks get some seconds to finish, then are handed back.

    It does not start again in this process.
    """
    with _State.lock:
        _State.is_over = True
        host = _State.host
    if host is not None:
        host.stop()


def _import_ahead() -> None:
    # Not above: what a worker needs is not loaded where none can begin.
    from wagtail_async_hooks.worker.embedded.host import CannotRun, import_tasks

    with suppress(CannotRun):  # the thread says so, and tries again
        import_tasks()


def _make_host() -> HostThread:
    host = HostThread()
    host.start()
    return host


def _prepare() -> None:
    if not _State.is_prepared:
        _State.is_prepared = True
        atexit.register(stop)
        os.register_at_fork(after_in_child=_after_fork)


def _after_request(sender: Any, **kwargs: Any) -> None:
    if _State.host is None and not _State.is_over and _is_of_server(sender):
        _begin(has_served=True)


def _is_of_server(sender: Any) -> bool:
    """Return whether a request came by a server, rather than from a test."""
    is_handler = isinstance(sender, type) and issubclass(sender, WSGIHandler | ASGIHandler)
    return is_handler and not _is_test()


def _is_test() -> bool:
    """Return whether this process runs tests, whose live servers have requests of this kind."""
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


def _after_fork() -> None:
    """The child has no worker, and no lock: its own requests may begin with another."""
    host, _State.host, _State.lock, _State.is_over = _State.host, None, threading.Lock(), False
    if host is not None:
        host.forget()
