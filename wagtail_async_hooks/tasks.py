"""The package's own tasks: a worker imports this module, as it does the ``tasks`` of any app."""

from wagtail_async_hooks.integrations import (
    commands,
    mail,
    renditions,
    scheduled_publishing,
    test_task,
)
from wagtail_async_hooks.integrations.bulk_actions import execution as bulk_actions
from wagtail_async_hooks.integrations.tasks_backend import execution as tasks_backend
from wagtail_async_hooks.worker import schedule

__all__ = [
    "bulk_actions",
    "commands",
    "mail",
    "renditions",
    "schedule",
    "scheduled_publishing",
    "tasks_backend",
    "test_task",
]
