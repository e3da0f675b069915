"""Helpers for those who test a site that uses this package.

They run tasks in the test's own process and transaction, without a worker or Redis. The fixture
for pytest is in :mod:`wagtail_async_hooks.pytest_plugin`.
"""

from wagtail_async_hooks.testing.cases import BackgroundTasksMixin
from wagtail_async_hooks.testing.helper import BackgroundTasks
from wagtail_async_hooks.testing.runner import BackgroundTaskFailed, run_background_tasks
from wagtail_async_hooks.testing.task_record import RecordedTask

__all__ = [
    "BackgroundTaskFailed",
    "BackgroundTasks",
    "BackgroundTasksMixin",
    "RecordedTask",
    "run_background_tasks",
]
