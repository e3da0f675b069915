"""The package's own tasks: a worker imports this module, as it does the ``tasks`` of any app."""

from wagtail_async_hooks import commands, mail, renditions, schedule, scheduled_publishing
from wagtail_async_hooks.bulk_actions import running as bulk_actions
from wagtail_async_hooks.tasks_backend import running

__all__ = [
    "bulk_actions",
    "commands",
    "mail",
    "renditions",
    "running",
    "schedule",
    "scheduled_publishing",
]
