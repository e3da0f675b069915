"""A backend for Django's ``TASKS``, so that Wagtail's own work runs in our workers, too.

Wagtail and modelsearch use the package ``django_tasks``; Django has the same API since version 6.0.
Both read the setting ``TASKS``, and one class serves both.
"""

from typing import Final

from wagtail_async_hooks.integrations.tasks_backend.backend import WagtailTasksBackend

__all__ = ["PATH", "WagtailTasksBackend"]

PATH: Final = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"
"""How ``TASKS`` names it."""
