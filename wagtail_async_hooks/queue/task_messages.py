"""From a task to its message and back, and from what a task returns to what its row keeps."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from huey.api import Huey
from huey.constants import EmptyData
from huey.exceptions import HueyException
from huey.utils import Error

from wagtail_async_hooks import current_task
from wagtail_async_hooks.exceptions import CannotSerialize, MessageRefused, UnknownTask
from wagtail_async_hooks.queue.attempt import Attempt
from wagtail_async_hooks.queue.submission import QueuedTask, Submission
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.utils.text import one_line

if TYPE_CHECKING:
    from wagtail_async_hooks.models import BackgroundTask

logger = logging.getLogger(__name__)


class TaskMessages:
    """Packs and unpacks the messages of one queue, by its registry and its serializer."""

    def __init__(self, queue: Huey) -> None:
        self._queue = queue

    def pack(self, task: QueuedTask, context: Context | None = None) -> bytes:
        """Return the message of a task.

        :param context: what is to surround the task, if that is known already.
        """
        payload = (context or context_of(task)).payload()
        call = self._queue._registry.create_message(task)
        message: bytes = self._queue.serializer.serialize_call(
            call, payload, task.added_arguments()
        )
        return message

    def unpack(self, data: bytes) -> QueuedTask:
        """Return the task of a message.

        :raises MessageRefused: if this site did not write the message.
        :raises UnknownTask: if no such task is registered here.
        """
        message, context, added = self._queue.serializer.deserialize_whole(data)
        try:
            task: QueuedTask = self._queue._registry.create_task(message)
            task.submission.added_arguments = added
            task.submission.context = Context.from_payload(context)
        except HueyException as error:
            raise UnknownTask(
                f"{error}; the code that enqueued it is not what this worker runs, or its module "
                "is not imported by a wagtail_hooks.py or tasks.py."
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise MessageRefused(
                f"the message is not one of this package: {type(error).__name__}: {error}."
            ) from error
        return task

    def renewed(self, row: BackgroundTask) -> bytes:
        """Return the message of a task that has ended, for one more attempt: it does not expire."""

        def renew(task: QueuedTask) -> None:
            task.eta = task.expires = task.expires_resolved = None

        return self._changed(row, renew)

    def undelayed(self, row: BackgroundTask) -> bytes:
        """Return the message of a task as though its time had come."""

        def undelay(task: QueuedTask) -> None:
            task.eta = None

        return self._changed(row, undelay)

    def enqueued_earlier(self, row: BackgroundTask, by: datetime.timedelta) -> bytes:
        """Return the message of a task as though it had been enqueued earlier.

        :param by: how much.
        """

        def move(task: QueuedTask) -> None:
            task.eta = task.eta and task.eta - by
            task.expires_resolved = task.expires_resolved and task.expires_resolved - by

        return self._changed(row, move)

    def _changed(self, row: BackgroundTask, change: Callable[[QueuedTask], None]) -> bytes:
        """Return the message of a task with other times; the same if that changes nothing."""
        message = bytes(row.message)
        try:
            task = self.unpack(message)
        except (UnknownTask, MessageRefused):
            return message  # the attempt will tell
        before = _times_of(task)
        change(task)
        return message if _times_of(task) == before else self.pack(task)

    def without_arguments(self, task: QueuedTask) -> bytes:
        """Return the message of a task that forgets its arguments once it has succeeded."""
        return self.pack(type(task)(id=task.id, submission=Submission(context=Context())))

    def pack_result(self, attempt: Attempt) -> bytes | None:
        """Return what a row keeps of the result of an attempt, or of its error."""
        result = attempt.result
        if attempt.claim.hook or result is EmptyData or result is None:
            return None  # what these hooks return is for nobody, as in Wagtail
        if isinstance(result, Error):
            result = Error({k: v for k, v in result.metadata.items() if k != "traceback"})
        try:
            packed: bytes = self._queue.serializer.serialize(result)
        except CannotSerialize as error:
            logger.warning("The result of %s is not kept: %s", str(attempt.claim), one_line(error))
            return None
        return packed


def _times_of(task: QueuedTask) -> tuple[Any, ...]:
    return task.eta, task.expires, task.expires_resolved


def context_of(task: QueuedTask) -> Context:
    """Return what is to surround a task: what it was enqueued with, or else the caller's context.

    What follows from a task, such as the next one of a pipeline, is surrounded by the same.
    """
    known = task.submission.context
    if known is not None:
        return known
    running = current_task.running()
    if running is not None and not running.is_called:
        return running.context.about(None)
    return Context.capture()
