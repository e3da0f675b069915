"""The blinker signals that announce every step of a background task.

======================  ===========================================  ==========================
signal                  sent                                         arguments beside the sender
======================  ===========================================  ==========================
``enqueued``            a task was recorded (inside the caller's     ``task``
                        transaction, which may still roll back)
``started``             a worker begins to run it                    ``task``
``succeeded``           it ended well, after the commit              ``task``, ``duration``
``failed``              it ended with an error, after the commit     ``task``, ``duration``,
                                                                     ``error``
``retrying``            it failed and will be run again              ``task``, ``duration``,
                                                                     ``error``
``cancelled``           it was revoked, or what it is about is gone  ``task``, ``duration``,
                                                                     ``error``
``expired``             it was not begun before it expired           ``task``, ``duration``,
                                                                     ``error``
``rescued``             its worker died; it waits again, or failed   ``task``, ``waits``
                        because too many workers died of it (then
                        ``failed`` follows)
``worker_started``      a worker process serves from now on          ``worker``
``worker_stopped``      a worker process has stopped                 ``worker``
======================  ===========================================  ==========================

The sender is the hook's name, or the task's name where there is no hook, so that a site can
subscribe to one hook. ``task`` is a :class:`~wagtail_async_hooks.ledger.TaskInfo`, ``duration``
is in seconds, ``error`` is one line of text. For the worker's signals the sender is the host name.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from blinker import NamedSignal, Namespace

logger = logging.getLogger(__name__)

_namespace: Final = Namespace()

enqueued: Final = _namespace.signal("enqueued")
started: Final = _namespace.signal("started")
succeeded: Final = _namespace.signal("succeeded")
failed: Final = _namespace.signal("failed")
retrying: Final = _namespace.signal("retrying")
cancelled: Final = _namespace.signal("cancelled")
expired: Final = _namespace.signal("expired")
rescued: Final = _namespace.signal("rescued")
worker_started: Final = _namespace.signal("worker_started")
worker_stopped: Final = _namespace.signal("worker_stopped")


def announce(signal: NamedSignal, sender: str, **arguments: Any) -> None:
    """Send a signal; a receiver that raises is logged and stops neither the others nor us."""
    if not signal.receivers:
        return
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, **arguments)
        except Exception:
            logger.exception("A receiver of the signal %r failed: %r.", signal.name, receiver)
