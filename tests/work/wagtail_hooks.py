"""Wagtail imports this in every process; so workers know the tasks of the faults, too."""

from tests.work import fault_tasks, hostile_tasks, leaving_tasks, log_tasks  # noqa: F401
