"""When a worker looks whether somebody is to be told something.

The oldest worker looks at workers and waiting tasks for all, every :data:`INTERVAL`. Each looks at
errors after a task of its own has failed, for a while; the oldest does so now and then anyway.
Threads of their own send: a mail server that does not answer holds up no heartbeat.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from typing import Any, Final

from django.db import connections
from django.utils import translation

from wagtail_async_hooks import conf, ledger, signals
from wagtail_async_hooks.monitoring.alerts import conditions, telling
from wagtail_async_hooks.monitoring.alerts.conditions import Found
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.utils.database.errors import in_one_line, is_contention
from wagtail_async_hooks.utils.errors import report
from wagtail_async_hooks.worker.identity import Registration

logger = logging.getLogger(__name__)

INTERVAL: Final = 60.0
"""Seconds between two looks."""

ERRORS_INTERVAL: Final = 600.0
"""Seconds between two looks at errors by the oldest worker, if no task of its own fails; and those
for which a process goes on to look after a failure, so that what was not due is told."""

SOON: Final = 15.0
"""Seconds between two looks at errors at least, by one worker."""

REST: Final = 100
"""So many times as long as it took passes between two looks at errors at least."""

ENDING: Final = 10.0
"""Seconds for which a worker that ends waits for messages that are being sent."""


class Watch:
    """The part of one worker; a chore of its maintenance.

    :param worker: the worker's row; its primary key may change.
    """

    def __init__(self, worker: Registration) -> None:
        self._worker = worker
        self._looked_at = self._looked_at_all = float("-inf")
        self._errors_looked_at = self._failed_at = float("-inf")
        self._took = 0.0
        self._has_failed = False
        self._fails = False
        self._senders: dict[str, threading.Thread] = {}
        signals.failed.connect(self._on_failed)

    def do(self) -> None:
        """See :meth:`.Chore.do`."""
        now = time.monotonic()
        rest = max(SOON, self._took * REST)
        is_soon = self._has_failed and now - self._errors_looked_at >= rest
        if is_soon or now - self._looked_at >= INTERVAL:
            self._try(now)

    def end(self) -> None:
        """See :meth:`.Chore.end`."""
        signals.failed.disconnect(self._on_failed)
        if self._has_failed:  # such as in the last task of a drain
            self._try(time.monotonic())
        deadline = time.monotonic() + ENDING
        for thread in self._senders.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _on_failed(self, sender: Any, **kwargs: Any) -> None:
        self._has_failed = True

    def _try(self, now: float) -> None:
        """Look; what goes wrong is logged, once, and harms nobody."""
        if self._has_failed:
            self._has_failed, self._failed_at = False, now
        self._looked_at = now
        try:
            self._look(now)
        except Exception as error:
            if not self._fails and not is_contention(error):
                logger.warning(
                    "It cannot be found out who is to be told what, trying again: %s",
                    in_one_line(error),
                )
            self._fails = not is_contention(error)
        else:
            self._fails = False

    def _look(self, now: float) -> None:
        if not conf.current().alerts.to:
            return
        found, looks_at_all = conditions.NOTHING, self._looks_at_all(now)
        looks_at_errors = self._looks_at_errors(now, looks_at_all=looks_at_all)
        if not looks_at_all and not looks_at_errors:
            return
        moment = Moment()
        now_there = moment.time  # before anything else is looked at
        with translation.override("en"):
            if looks_at_all:
                found = conditions.of_workers(moment)
            if looks_at_errors:
                found = found.and_also(conditions.of_errors(now_there))
                self._took = time.monotonic() - now
        for target in telling.pending(found, now_there):
            self._send(target, found, now_there)

    def _looks_at_all(self, now: float) -> bool:
        if now - self._looked_at_all < INTERVAL:
            return False
        self._looked_at_all = now
        return ledger.oldest_alive() == self._worker.pk

    def _looks_at_errors(self, now: float, *, looks_at_all: bool) -> bool:
        is_due = now - self._failed_at < ERRORS_INTERVAL
        if looks_at_all and now - self._errors_looked_at >= ERRORS_INTERVAL:
            is_due = True
        if is_due:
            self._errors_looked_at = now
        return is_due

    def _send(self, target: str, found: Found, now: datetime.datetime) -> None:
        before = self._senders.get(target)
        if before is not None and before.is_alive():
            return
        thread = threading.Thread(
            target=_tell, args=(target, found, now), name=f"Alerts to {target}", daemon=True
        )
        self._senders[target] = thread
        thread.start()


def make(worker: Registration) -> Watch | None:
    """Return the part of a worker; ``None`` if nobody is told anything."""
    settings = conf.current()
    return Watch(worker) if settings.alerts.to and settings.backend else None


def _tell(target: str, found: Found, now: datetime.datetime) -> None:
    """Tell a target, in a thread of its own."""
    try:
        telling.tell(target, found, now)
    except Exception as error:
        report(logger, error, "What %s is told cannot be recorded.", target)
    finally:
        connections.close_all()
