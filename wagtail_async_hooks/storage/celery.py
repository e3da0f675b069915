"""Celery's broker as a notifier: for each task that comes to wait, a message to the site's own app.

The truth stays in the ledger, and so does the order. A message says that something waits, and no
more: whichever of Celery's workers gets it claims the first task of the ledger, see
:mod:`wagtail_async_hooks.worker.celery_worker`. It has neither arguments of tasks nor their ids, so
who can read the broker learns nothing, and who can write to it can at most have a worker look.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from heapq import nlargest
from typing import Any, Final

from huey.storage import BaseStorage

from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.storage.notifier import MAX_NOTIFICATIONS, NotifierStorage
from wagtail_async_hooks.storage.waiter import DatabaseWaiter, Waiter
from wagtail_async_hooks.utils.text import one_line

TASK: Final = "wagtail_async_hooks.run"
"""Name of the Celery task that claims the next task of the ledger and runs it."""

BROKER_TIMEOUT: Final = 1.0
"""Seconds that an editor's request waits at most for a connection to the broker, and again for
what it sends there."""

IDLE_TIMEOUT: Final = 30.0
"""Seconds after which a connection that nothing was sent over is replaced before the next message:
a broker or a firewall may have ended it, and the first message into it would be lost unnoticed."""

_BACKEND: Final = 'WAGTAIL_TASKS["BACKEND"] is "celery"'
_APP: Final = 'WAGTAIL_TASKS["BACKEND_OPTIONS"]["app"]'


class CeleryStorage(NotifierStorage):
    """The ledger's storage, with Celery's broker to notify Celery's workers.

    A ``wagtail_worker`` beside them leaves the broker alone, and watches the database.
    """

    needs_reminders = True

    LOST = (
        "Celery's broker cannot be reached, so tasks wait in the ledger until it answers, or until "
        "a wagtail_worker runs them: %s"
    )
    FOUND = "Celery's broker answers again."

    def waiter(self) -> Waiter:  # type: ignore[override]  # it does not wait for the notifier
        """See :class:`~wagtail_async_hooks.storage.database.DatabaseStorage`."""
        return DatabaseWaiter(self.ledger.database())

    def forget_notifications(self, more_than: int = 0) -> bool:
        """Leave the messages to Celery: its queue may have those of others as well."""
        return False

    def announce(self, due: Iterable[tuple[int, int]]) -> None:
        """Send a message for each task; where there are many, the last one stands for the rest."""
        tasks = list(due)
        first = nlargest(MAX_NOTIFICATIONS, tasks, key=lambda task: (task[1], -task[0]))
        for pk, priority in first:
            self.notify(pk, priority)
        if len(tasks) > len(first):
            self.announce_rest()

    def announce_rest(self) -> bool:
        """Send a message that stands for all that waits; return whether the broker has taken it.

        Whoever claims a task because of it sends it on, before the task is run. So all workers are
        busy soon, as long as something waits.
        """
        return self._notify(REST, 0)


REST: Final = b"rest"
"""The notification that stands for all that waits."""


class CeleryNotifier(BaseStorage):  # type: ignore[misc]  # Huey has no types
    """What sends messages to the app: over one connection for all threads of a process.

    It is not that of Celery's own pool, which connects, and sends, as patiently as the site's
    settings say: usually for ever.

    :param name: of the Huey instance.
    :param app: the Celery app.
    :param queue: Celery's queue for the messages; blank for where the app routes them.
    """

    priority = False

    def __init__(self, name: str, app: Any, queue: str = "") -> None:
        super().__init__(name)
        self.app = app
        self._queue = queue
        self._inherited: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connection: Any = None
        self._used_at = float("-inf")

    def enqueue(self, data: bytes, priority: int | None = None) -> None:
        """Send one message.

        :raises Exception: of the broker's client, if it does not get there.
        """
        with self._alone():
            is_new = self._connection is None or time.monotonic() - self._used_at > IDLE_TIMEOUT
            if not is_new:
                try:
                    return self._send(data)
                except Exception:  # it may have ended unnoticed; a new one shows whether
                    self._leave()
            self._leave()
            try:
                self._connect()
                self._send(data)
            except Exception:
                self._leave()
                raise

    def queue_size(self) -> int:
        """Return how many messages are in the queue, where the broker says.

        :raises Exception: of the broker's client, if it does not answer.
        """
        with self._alone():
            self._leave()
            try:
                self._connect()
                return self._size()
            finally:
                self._leave()

    def flush_queue(self) -> None:
        """Leave the messages where they are: others may use the queue as well."""

    def close(self) -> None:
        """End the connection, if there is one; it is made again when it is next needed."""
        with self._alone():
            self._leave()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other thread send meanwhile; but none waits for long.

        :raises TimeoutError: if another one is still at it.
        """
        if self._pid != os.getpid():  # forked: the connection is the parent's, and stays open
            self._inherited.append(self._connection)
            self._begin()
        if not self._lock.acquire(timeout=BROKER_TIMEOUT):
            raise TimeoutError("another thread still waits for the broker")
        try:
            yield
        finally:
            self._lock.release()

    def _connect(self) -> None:
        options = {**(self.app.conf.broker_transport_options or {}), **_IMPATIENT}
        connection = self.app.connection_for_write(
            connect_timeout=BROKER_TIMEOUT, transport_options=options, heartbeat=0
        )
        self._connection = connection
        # Each host is tried once, if there are several.
        connection.transport_options["max_retries"] = max(0, len(connection.alt or ()) - 1)
        connection.default_channel  # noqa: B018  (that connects)

    def _send(self, data: bytes) -> None:
        options: dict[str, Any] = {"queue": self._queue} if self._queue else {}
        self.app.send_task(
            TASK,
            kwargs={"rest": True} if data == REST else {},
            connection=self._connection,
            serializer="json",
            ignore_result=True,
            add_to_parent=False,
            retry=False,
            **options,
        )
        self._used_at = time.monotonic()

    def queue_name(self) -> str:
        """Return which of Celery's queues the messages go to."""
        if self._queue:
            return self._queue
        route = self.app.amqp.router.route({}, TASK, (), {})
        name = getattr(route.get("queue"), "name", "") or route.get("routing_key")
        return str(name or self.app.conf.task_default_queue)

    def _size(self) -> int:
        name = self.queue_name()
        channel = self._connection.channel()
        try:
            return int(channel.queue_declare(name, passive=True).message_count)
        except self._connection.channel_errors:  # nobody has declared it so far
            return 0
        finally:
            with suppress(Exception):
                channel.close()

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.collect(BROKER_TIMEOUT)


_IMPATIENT: Final[Mapping[str, Any]] = {
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    # Of RabbitMQ's client, and of Redis's.
    "read_timeout": BROKER_TIMEOUT,
    "write_timeout": BROKER_TIMEOUT,
    "confirm_timeout": BROKER_TIMEOUT,
    "socket_timeout": BROKER_TIMEOUT,
    "socket_connect_timeout": BROKER_TIMEOUT,
    "retry_on_timeout": False,
}
"""Options of Celery's transports by which a broker that does not answer holds nobody up."""


def make_celery_notifier(options: Mapping[str, Any], name: str) -> CeleryNotifier:
    """Make what sends messages to the app that the options name, or that Django has loaded.

    :raises ConfigurationError: if there is none, or Celery is not installed.
    """
    return CeleryNotifier(name, find_app(options.get("app", "")), options.get("queue", ""))


def find_app(path: str) -> Any:
    """Return the site's Celery app.

    :param path: as after ``celery -A``; blank for the one that was made while Django started.
    :raises ConfigurationError: if there is none, or Celery is not installed.
    """
    try:
        from celery import Celery
        from celery.app import app_or_default
        from celery.app.utils import find_app as find
    except ImportError as error:
        raise ConfigurationError(
            f'{_BACKEND}, but the Python package "celery" is not installed: run '
            '"pip install wagtail-async-hooks[celery]".'
        ) from error
    if not path:
        app = app_or_default()
        if app.main == "default" and not app.set_as_current:  # Celery makes one up if there is none
            raise ConfigurationError(
                f"{_BACKEND}, but no Celery app was made while Django started; name it, as after "
                f'"celery -A", by {_APP} = "mysite.celery".'
            )
        return app
    try:
        found = find(path)
    except Exception as error:
        raise ConfigurationError(
            f'{_APP} is "{path}", which cannot be imported as "celery -A {path}" would '
            f"({type(error).__name__}: {one_line(error)}); name the module of the Celery app, "
            'such as "mysite.celery".'
        ) from error
    if not isinstance(found, Celery):
        raise ConfigurationError(
            f'{_APP} is "{path}", which is no Celery app, but {type(found).__name__}; name the '
            'module of the app, such as "mysite.celery".'
        )
    return found
