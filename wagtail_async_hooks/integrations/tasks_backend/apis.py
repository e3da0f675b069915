"""The two packages that share one API: ``django_tasks``, and ``django.tasks`` of Django 6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import django


@dataclass(frozen=True, eq=False)
class Api:
    """What is needed of one of them."""

    name: str
    base: Any
    signals: Any
    handler: Any
    invalid_task: type[Exception]
    does_not_exist: type[Exception]
    backend: type
    immediate_backend: Any
    normalize_json: Callable[[Any], Any]

    @classmethod
    def load(cls, name: str, normalizer: str) -> Api:
        """Import one of them.

        :param normalizer: module of ``normalize_json()``, which is not where it is in the other.
        """
        exceptions = import_module(f"{name}.exceptions")
        return cls(
            name,
            import_module(f"{name}.base"),
            import_module(f"{name}.signals"),
            import_module(name).task_backends,
            getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError,
            exceptions.TaskResultDoesNotExist,
            import_module(f"{name}.backends.base").BaseTaskBackend,
            import_module(f"{name}.backends.immediate").ImmediateBackend,
            import_module(normalizer).normalize_json,
        )


APIS: Final[dict[str, Api]] = {
    "django_tasks": Api.load("django_tasks", "django_tasks.utils"),
}
if django.VERSION >= (6, 0):
    APIS["django.tasks"] = Api.load("django.tasks", "django.utils.json")


def api_of(task: Any) -> Api:
    """Return the API that a task was made with.

    :raises TypeError: if it is no task.
    """
    for api in APIS.values():
        if isinstance(task, api.base.Task):
            return api
    raise TypeError(f"{task!r} is not a task of {' or '.join(APIS)}.")
