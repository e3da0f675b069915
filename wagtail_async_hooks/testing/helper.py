"""The object that a test works with: tasks wait until the test runs them."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from django.db.models import Max
from huey.api import TaskWrapper

from wagtail_async_hooks import ledger
from wagtail_async_hooks.hooks import catalogue, registry
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.testing import runner
from wagtail_async_hooks.testing.runner import LIMIT
from wagtail_async_hooks.testing.task_record import OPTIONS, RecordedTask, bound
from wagtail_async_hooks.utils.suggestions import nearest
from wagtail_async_hooks.utils.time import in_current_zone


class BackgroundTasks:
    """A context manager for tests: background tasks are enqueued, and run only by :meth:`run`.

    They are enqueued in the database, in the transaction of the test if there is one, whatever the
    site's ``BACKEND`` is.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._since = 0
        self._travelled = datetime.timedelta()

    def __enter__(self) -> BackgroundTasks:
        self._stack.enter_context(runner.in_the_database())
        self._since = background.storage.tasks.aggregate(Max("pk"))["pk__max"] or 0
        self._travelled = datetime.timedelta()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    @property
    def recorded(self) -> list[RecordedTask]:
        """The tasks that were enqueued since the block began, in their order."""
        return runner.recorded_since(self._since)

    def run(
        self, *, scheduled: bool = False, raise_errors: bool = True, limit: int = LIMIT
    ) -> list[RecordedTask]:
        """See :func:`~wagtail_async_hooks.testing.run_background_tasks`."""
        return runner.run_background_tasks(
            scheduled=scheduled, raise_errors=raise_errors, limit=limit
        )

    def advance(self, seconds: float) -> None:
        """Move the times of tasks, so that the next :meth:`run` runs what is due by then.

        The clock stays as it is.

        :param seconds: number of seconds.
        :raises ValueError: if it is negative.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds!r}): time goes forward only.")
        runner.advance(seconds)
        self._travelled += datetime.timedelta(seconds=seconds)

    def travel_to(self, moment: datetime.datetime) -> None:
        """Move the times of tasks as :meth:`advance` does, to a moment.

        :param moment: a future time; a naive one is in the current time zone.
        :raises ValueError: if it is in the past.
        """
        given, now = moment, ledger.clock() + self._travelled
        moment = in_current_zone(moment)
        if moment < now:
            raise ValueError(f"travel_to({given!r}): it is {now} already, and time goes forward.")
        self.advance((moment - now).total_seconds())

    def assert_hook_dispatched(
        self, hook: str, *, times: int | None = None, **expected: Any
    ) -> list[RecordedTask]:
        """Fail unless a hook or signal has enqueued a task.

        :param hook: name of the hook or signal.
        :param times: the number of tasks; by default at least one.
        :param expected: arguments of the hook by name, and options: ``function``, ``priority``,
            ``queue``, ``user``, ``coalesce_key``, ``exclusive_key``.
        :returns: the tasks.
        :raises ValueError: if the hook has no background functions.
        :raises TypeError: if it has no such argument.
        """
        _check_hook(hook, expected)
        return self._assert(hook, self._of_hook(hook), expected, times)

    def assert_hook_not_dispatched(self, hook: str, **expected: Any) -> None:
        """Fail if a hook or signal has enqueued a task; see :meth:`assert_hook_dispatched`."""
        _check_hook(hook, expected)
        self._assert(hook, self._of_hook(hook), expected, 0)

    def assert_task_enqueued(
        self, task: Any, *args: Any, times: int | None = None, **expected: Any
    ) -> list[RecordedTask]:
        """Fail unless a task was called.

        :param task: one made by ``background.task()``, or one of ``TASKS``.
        :param args: the first arguments; those that are not given may be anything.
        :param times: the number of tasks; by default at least one.
        :param expected: further arguments by name, and options: ``priority``, ``queue``, ``user``,
            ``coalesce_key``, ``exclusive_key``.
        :returns: the tasks.
        :raises TypeError: if it is no task, or has no such argument.
        """
        path, wanted = _wanted(task, args, expected)
        return self._assert(path, self._of_function(path), wanted, times)

    def assert_task_not_enqueued(self, task: Any, *args: Any, **expected: Any) -> None:
        """Fail if a task was called; see :meth:`assert_task_enqueued`."""
        path, wanted = _wanted(task, args, expected)
        self._assert(path, self._of_function(path), wanted, 0)

    def _of_hook(self, hook: str) -> list[RecordedTask]:
        return [task for task in self.recorded if task.hook == hook]

    def _of_function(self, path: str) -> list[RecordedTask]:
        return [task for task in self.recorded if task.function == path and not task.hook]

    def _assert(
        self,
        name: str,
        candidates: list[RecordedTask],
        expected: Mapping[str, Any],
        times: int | None,
    ) -> list[RecordedTask]:
        found = [task for task in candidates if task.has(expected)]
        if len(found) == times or (times is None and found):
            return found
        wanted = "at least one task" if times is None else f"{times} tasks" if times else "no task"
        told = ", ".join(f"{key}={value!r}" for key, value in expected.items())
        raise AssertionError(
            f"There should be {wanted} of {name}{f' with {told}' if told else ''}, but there are "
            f"{len(found)}. {self._overview(name)}"
        )

    def _overview(self, name: str) -> str:
        recorded = self.recorded
        if recorded:
            return "Recorded were:\n" + "\n".join(f"  {task}" for task in recorded)
        if name in registry.hook_names() and not any(hook == name for hook, _ in registry.entries):
            return "Nothing was recorded, and no function of it runs in the background."
        return "Nothing was recorded."


def _check_hook(hook: str, expected: Mapping[str, Any]) -> None:
    known = registry.hook_names()
    if hook not in known:
        near = nearest(hook, known)
        hint = f' Did you mean "{near}"?' if near else ""
        raise ValueError(f'"{hook}" is no hook or signal that runs in the background.{hint}')
    kind = catalogue.kind_of(hook)
    if kind is not None:
        _check_names(hook, expected, {*kind.arguments, *OPTIONS})


def _check_names(name: str, expected: Mapping[str, Any], known: set[str]) -> None:
    for key in expected:
        if key not in known:
            raise TypeError(
                f"{name} has no argument {key!r}; known are: {', '.join(sorted(known))}."
            )


def _wanted(
    task: Any, args: tuple[Any, ...], expected: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the path of a task, and what is expected of it by name."""
    if isinstance(task, TaskWrapper):
        path, function = task.task_class.definition.function, task.func
    elif hasattr(task, "module_path"):
        path, function = task.module_path, task.func
    else:
        raise TypeError(
            f"{task!r} is no task: give what @background.task(), or @task of TASKS, has made."
        )
    parameters = inspect.signature(function).parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        _check_names(path, expected, {*(each.name for each in parameters), *OPTIONS[1:]})
    return path, {**bound(function, args, {}), **expected}
