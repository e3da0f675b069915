"""The backend itself: what ``TASKS`` names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.validators import queue_name
from wagtail_async_hooks.integrations.tasks_backend import pairs, results, wagtails_own
from wagtail_async_hooks.integrations.tasks_backend.apis import APIS, Api, api_of
from wagtail_async_hooks.integrations.tasks_backend.calls import Call
from wagtail_async_hooks.integrations.tasks_backend.execution import run
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.queue.ahead import Ahead
from wagtail_async_hooks.queue.keys import give_keys
from wagtail_async_hooks.queue.submission import Submission
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.utils import uuid7
from wagtail_async_hooks.utils.time import to_huey

if TYPE_CHECKING:
    from django_tasks.backends.base import BaseTaskBackend as Bases
else:

    class Bases(*[api.backend for api in APIS.values()]):
        """A backend for each of the APIs."""


logger = logging.getLogger(__name__)


class _Enqueued(NamedTuple):
    """A call that is recorded.

    :param result: what the API returns of it, as long as it has not run.
    :param ran: its result if it has run at once.
    """

    call: Call
    result: Any
    ran: Any = None

    @classmethod
    def of(cls, call: Call) -> _Enqueued:
        return cls(call, call.result(uuid7.new(), "READY"))

    def is_same(self, call: Call) -> bool:
        """Return whether another call is the one that was recorded."""
        return replace(call, enqueued_at=self.call.enqueued_at) == self.call


_ahead: Final[Ahead[_Enqueued]] = Ahead()


class WagtailTasksBackend(Bases):  # type: ignore[misc]  # neither API has types
    """The backend for ``TASKS`` whose tasks this package's workers run.

    With a blank ``WAGTAIL_TASKS["BACKEND"]`` they run at once, as with Wagtail's default.
    """

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._params = params

    @property
    def api(self) -> Api:
        """The API that has made this backend: each makes its own from the same setting."""
        owners = (api for api in APIS.values() if api.handler[self.alias] is self)
        return next(owners, APIS["django_tasks"])

    @property
    def task_class(self) -> Any:
        """What the decorator ``task`` makes."""
        return self.api.base.Task

    @property
    def supports_defer(self) -> bool:
        """Whether a task can be enqueued for later."""
        return not background.immediate

    @property
    def supports_get_result(self) -> bool:
        """Whether a result can be had from another process."""
        return not background.immediate

    supports_async_task = True
    supports_priority = True

    def validate_task(self, task: Any) -> None:
        """See the API.

        :raises InvalidTask: of the API that the task was made with.
        """
        api = api_of(task)
        api.backend.validate_task(self, task)  # type: ignore[attr-defined]
        if expected := queue_name(task.queue_name):
            raise api.invalid_task(f"Queue {task.queue_name!r} should be {expected}.")

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Record a call of a task, in the caller's transaction; return its result, which is ready.

        Where it cannot be recorded, it runs at once: it is not lost. The two calls that Wagtail
        makes for an object that is saved in a transaction are recorded by one INSERT.

        :raises InvalidTask: if this backend does not run it.
        :raises TypeError: if an argument cannot be JSON.
        """
        self.validate_task(task)
        path = task.module_path
        if background.immediate or conf.current().runs_synchronously(path, path):
            return self._run_here(task, args, kwargs)
        call = Call.of(task, args, kwargs, timezone.now())
        enqueued = _ahead.take(lambda expected: expected.is_same(call)) or self._enqueue(call)
        if enqueued.ran is not None:
            return enqueued.ran
        call.package.signals.task_enqueued.send(type(self), task_result=enqueued.result)
        return enqueued.result

    def _enqueue(self, call: Call) -> _Enqueued:
        """Record a call, and the one that comes next if that is known."""
        calls = [_Enqueued.of(call), *map(_Enqueued.of, self._next_calls(call))]
        first, *ahead = calls
        make, *makes = (partial(self._make, each.call, each.result.id) for each in calls)
        ran: list[Any] = []
        otherwise = partial(self._otherwise, call, ran.append)
        if enqueue.make_and_enqueue(make, otherwise, makes):
            _ahead.expect(ahead, background.storage.ledger.database())
        return first._replace(ran=ran[0]) if ran else first

    def _next_calls(self, call: Call) -> list[Call]:
        """Return the call that comes right after another one, in the same transaction."""
        if not transaction.get_connection(background.storage.ledger.database()).in_atomic_block:
            return []  # an error between them would undo neither
        following = pairs.follower(call.path, call.args)
        if following is None or following.get_backend() is not self:
            return []
        path = following.module_path
        if conf.current().runs_synchronously(path, path):
            return []
        return [Call.of(following, call.args, call.kwargs, call.enqueued_at)]

    def get_result(self, result_id: str) -> Any:
        """Return the result of an id.

        :raises TaskResultDoesNotExist: if there is no row of that id, or no longer.
        """
        if background.immediate:
            return super().get_result(result_id)
        found = results.find(result_id)
        if found is None:
            raise self.api.does_not_exist(result_id)
        row, call = found
        return results.of_row(row, call, result_id)

    def _make(self, call: Call, task_id: str) -> Any:
        """Return Huey's task for a call."""
        options = wagtails_own.options_now(call.path)
        given = options.for_huey()
        if options.priority is None:
            given["priority"] = call.priority
        if call.run_after is not None:
            given["eta"] = to_huey(call.run_after)
        named = call.named
        submission = Submission(
            context=Context.capture(),
            options=options,
            named=named,
            name=call.path,
            function=call.path,
            queue=options.queue or call.queue_name,
            subject=wagtails_own.subject_of(call.path, named),
            is_eta_named=call.run_after is not None,
        )
        made = run.task_class((), call.payload(), id=task_id, submission=submission, **given)
        give_keys(made, options, named, call.path)
        return made

    def _run_here(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Run a task at once, as Wagtail's default does."""
        backend = api_of(task).immediate_backend(self.alias, self._params)
        return backend.enqueue(task, args, kwargs)

    def _otherwise(self, call: Call, note: Callable[[Any], None], error: Exception) -> None:
        """Run a call at once that cannot be recorded."""
        logger.error(
            "%s could not be recorded as a background task, so it runs at once.",
            call.path,
            exc_info=error,
        )
        enqueue.run_here(call.path, lambda: note(self._run_here(call.task, call.args, call.kwargs)))


def leads_here(path: Any) -> bool:
    """Return whether the backend of an entry of ``TASKS`` is ours."""
    try:
        found = import_string(path)
    except (ImportError, AttributeError):
        return False  # Django says so
    return isinstance(found, type) and issubclass(found, WagtailTasksBackend)
