"""Which code a process runs: a hash of each module of the site's that has background functions.

A worker goes on with the code that it began with. Its row has these hashes, so that others can say
when a ``wagtail_hooks.py`` has been changed since. There is one for each module, since two
processes need not have imported the same ones: only where both have one can they be compared.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from django.apps import apps

from wagtail_async_hooks.queue.task_queue import background

_OF_OTHERS: Final = ("wagtail_async_hooks", "wagtail", "django", "django_tasks", "modelsearch")
"""Packages whose code changes with the release only, which a worker's row has beside."""

_MODULES: Final = ("wagtail_hooks", "tasks")
"""What is imported of each app."""

MOST: Final = 500
"""So many modules are looked at: the row of a worker is written every few seconds."""

_DIGITS: Final = 12


def hashes() -> dict[str, str]:
    """Return a hash of the source of each loaded module that has background functions, by name.

    One that has no source here, as where only compiled code is deployed, is left out.
    """
    found = {}
    for name in sorted(set(_names()))[:MOST]:
        file = getattr(sys.modules.get(name), "__file__", None)
        if not file or Path(file).suffix != ".py":
            continue
        try:
            source = Path(file).read_bytes()
        except OSError:
            continue  # within an archive, or replaced just now
        found[name] = hashlib.sha256(source).hexdigest()[:_DIGITS]
    return found


def changed(of_worker: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return the modules of which a worker runs other code than there is here.

    :param of_worker: what :func:`hashes` returned when it began.
    """
    return sorted(name for name in of_worker if here.get(name, of_worker[name]) != of_worker[name])


def _names() -> Iterator[str]:
    for task in background.task_classes():
        called = task.definition.called
        module = getattr(called, "__module__", None) or task.definition.function.rpartition(".")[0]
        if _is_the_sites(module):
            yield module
    for config in apps.get_app_configs():
        if _is_the_sites(config.name):
            yield from (f"{config.name}.{name}" for name in _MODULES)


def _is_the_sites(module: str) -> bool:
    return module.partition(".")[0] not in _OF_OTHERS
