"""The backend for Django's ``TASKS``, under the path that settings name."""

from wagtail_async_hooks.integrations.tasks_backend import WagtailTasksBackend

__all__ = ["WagtailTasksBackend"]
