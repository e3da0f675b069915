"""A mixin for Django's ``TestCase`` and ``TransactionTestCase``."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from wagtail_async_hooks.testing.helper import BackgroundTasks
from wagtail_async_hooks.testing.runner import LIMIT
from wagtail_async_hooks.testing.task_record import RecordedTask

if TYPE_CHECKING:
    from django.test import TransactionTestCase as Case
else:
    Case = object


class BackgroundTasksMixin(Case):
    """For test cases: tasks are enqueued, and run only on request; put it before Django's class.

    :ivar background_tasks: the :class:`BackgroundTasks` whose methods those below call.
    """

    background_tasks: BackgroundTasks

    def setUp(self) -> None:
        super().setUp()
        self.background_tasks = self.enterContext(BackgroundTasks())

    def run_background_tasks(
        self, *, scheduled: bool = False, raise_errors: bool = True, limit: int = LIMIT
    ) -> list[RecordedTask]:
        """See :func:`~wagtail_async_hooks.testing.run_background_tasks`."""
        return self.background_tasks.run(
            scheduled=scheduled, raise_errors=raise_errors, limit=limit
        )

    def advance(self, seconds: float) -> None:
        """See :meth:`BackgroundTasks.advance`."""
        self.background_tasks.advance(seconds)

    def travel_to(self, moment: datetime.datetime) -> None:
        """See :meth:`BackgroundTasks.travel_to`."""
        self.background_tasks.travel_to(moment)

    def assertHookDispatched(  # noqa: N802  (unittest's style, as below)
        self, hook: str, *, times: int | None = None, **expected: Any
    ) -> list[RecordedTask]:
        """See :meth:`BackgroundTasks.assert_hook_dispatched`."""
        return self.background_tasks.assert_hook_dispatched(hook, times=times, **expected)

    def assertHookNotDispatched(self, hook: str, **expected: Any) -> None:  # noqa: N802
        """See :meth:`BackgroundTasks.assert_hook_not_dispatched`."""
        self.background_tasks.assert_hook_not_dispatched(hook, **expected)

    def assertTaskEnqueued(  # noqa: N802
        self, task: Any, *args: Any, times: int | None = None, **expected: Any
    ) -> list[RecordedTask]:
        """See :meth:`BackgroundTasks.assert_task_enqueued`."""
        return self.background_tasks.assert_task_enqueued(task, *args, times=times, **expected)

    def assertTaskNotEnqueued(self, task: Any, *args: Any, **expected: Any) -> None:  # noqa: N802
        """See :meth:`BackgroundTasks.assert_task_not_enqueued`."""
        self.background_tasks.assert_task_not_enqueued(task, *args, **expected)
