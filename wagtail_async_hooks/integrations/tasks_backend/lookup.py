"""Finds the task for a path in a message, among the site's own tasks only."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.apps import apps

from wagtail_async_hooks.exceptions import UnknownTask
from wagtail_async_hooks.integrations.tasks_backend.apis import APIS, Api


def find(path: str, api: Api) -> Any:
    """Return the task of a dotted path.

    :raises UnknownTask: if there is none. A module that is not loaded is imported only if it
        belongs to an installed app: anything else could not have been enqueued by this site.
    """
    module, _, name = path.rpartition(".")
    # Not getattr(): a module may import what it is asked for.
    found = getattr(_module(module), "__dict__", {}).get(name)
    if not isinstance(found, api.base.Task):
        raise UnknownTask(
            f"{path} is no task of {api.name} in this process; the code that enqueued it is not "
            "what this worker runs."
        )
    return found


def find_any(path: str) -> Any:
    """Return the task of a dotted path, of whichever API; ``None`` if there is none."""
    for api in APIS.values():
        with suppress(UnknownTask):
            return find(path, api)
    return None


def is_task(path: str) -> bool:
    """Return whether a dotted path names a task of one of the APIs."""
    return find_any(path) is not None


def _module(name: str) -> Any:
    if name not in sys.modules and apps.get_containing_app_config(name) is None:
        return None
    # Also if it is loaded: another thread may be in the middle of importing it, which this awaits.
    try:
        return import_module(name)
    except ImportError as error:
        raise UnknownTask(f"{name} cannot be imported: {error}.") from error
