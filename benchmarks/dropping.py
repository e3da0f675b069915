"""A backend for ``TASKS`` that drops them: what a publish costs where nothing else is done."""

from __future__ import annotations

from typing import Any

from django_tasks.backends.base import BaseTaskBackend


class DroppingBackend(BaseTaskBackend):  # type: ignore[misc]  # it has no types
    """Does nothing with a task."""

    supports_defer = supports_async_task = supports_priority = True

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> None:
        """Drop it; nobody at Wagtail's looks at the result."""
