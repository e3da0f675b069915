"""The blinker signals that announce every step of a background task.

======================  ===========================================  ==========================
signal                  sent                                         arguments beside the sender
======================  ===========================================  ==========================
``enqueued``            a task was enqueued (inside the caller's     ``task``
                        transaction, which may still roll back)
``started``             a worker begins to run it                    ``task``
``progressed``          its function reports how far it is; at most  ``task``, ``progress``
                        twice a second
``succeeded``           it ended well, after the commit              ``task``, ``duration``
``failed``              it ended with an error, after the commit     ``task``, ``duration``,
                                                                     ``error``, ``error_type``
``retrying``            it failed and will be run again              ``task``, ``duration``,
                                                                     ``error``, ``error_type``,
                                                                     ``delay``
``snoozed``             its function asked to be called again later  ``task``, ``duration``,
                                                                     ``run_at``
``merged``              a newer task with its coalesce key runs for  ``task``, ``into``
                        both
``cancelled``           somebody cancelled or revoked it, or what    ``task``, ``duration``,
                        it is about is gone                          ``error``, ``error_type``
``expired``             it was not begun before it expired           ``task``, ``duration``,
                                                                     ``error``, ``error_type``
``rescued``             its worker died; it waits again, or failed   ``task``, ``waits``
                        because too many workers died of it (then
                        ``failed`` follows)
``worker_started``      a worker process serves from now on          ``worker``
``worker_stopped``      a worker process has stopped                 ``worker``
======================  ===========================================  ==========================

The sender is the hook's name, or the task's name where there is no hook, so that a site can
subscribe to one hook. ``task`` is a :class:`~wagtail_async_hooks.types.TaskInfo`, ``duration``
is in seconds, ``progress`` is a :class:`~wagtail_async_hooks.types.Progress`, ``error`` is one
line of text, ``error_type`` is the dotted path of its class, blank where nothing was raised,
``delay`` is in how many seconds it is tried again, ``run_at`` is when it is called again, ``into``
is the task that runs. For the worker's signals the sender is the host name.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from blinker import NamedSignal, Namespace

from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.errors import report

logger = logging.getLogger(__name__)

_namespace: Final = Namespace()

enqueued: Final = _namespace.signal("enqueued")
started: Final = _namespace.signal("started")
progressed: Final = _namespace.signal("progressed")
succeeded: Final = _namespace.signal("succeeded")
failed: Final = _namespace.signal("failed")
retrying: Final = _namespace.signal("retrying")
snoozed: Final = _namespace.signal("snoozed")
merged: Final = _namespace.signal("merged")
cancelled: Final = _namespace.signal("cancelled")
expired: Final = _namespace.signal("expired")
rescued: Final = _namespace.signal("rescued")
worker_started: Final = _namespace.signal("worker_started")
worker_stopped: Final = _namespace.signal("worker_stopped")

_announced: Final[ContextVar[Any]] = ContextVar("announced", default=None)


def announce(signal: NamedSignal, sender: str, **arguments: Any) -> None:
    """Send a signal; a receiver that raises is logged and stops neither the others nor us.

    What such a receiver has written in a transaction that is open here is undone.
    """
    if not signal.receivers:
        return
    token = _announced.set(arguments.get("task"))
    try:
        for receiver in signal.receivers_for(sender):
            with guarded(partial(_complain, signal, receiver)):  # it may ask the database
                receiver(sender, **arguments)
    finally:
        _announced.reset(token)


def _complain(signal: NamedSignal, receiver: Any, error: Exception) -> None:
    told = "A receiver of the signal %r failed: %s."
    report(logger, error, told, signal.name, _named(receiver))


def _named(receiver: Any) -> str:
    """Return the name of a receiver: its own representation may have all that it holds."""
    named = receiver if hasattr(receiver, "__qualname__") else type(receiver)
    return f"{named.__module__}.{named.__qualname__}"


def announced() -> Any:
    """Return the task of which receivers are being told here; ``None`` if of none."""
    return _announced.get()
