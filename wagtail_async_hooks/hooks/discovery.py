"""Importing a site's ``wagtail_hooks`` and ``tasks``; one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from django.apps import apps
from django.core.management.base import CommandError
from django.utils.module_loading import module_has_submodule
from wagtail.hooks import search_for_hooks

from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger("wagtail_async_hooks.worker")


class Failure(NamedTuple):
    """A module that raised an error when it was imported."""

    module: str
    error: str

    def __str__(self) -> str:
        return f"{self.module} cannot be imported, so its tasks are not known: {self.error}"


def import_all() -> None:
    """Import the ``wagtail_hooks`` and ``tasks`` of all apps; log which of the latter fail.

    :raises CommandError: if hooks cannot be imported: the site does not work without them.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # their output does not belong to a command's
            search_for_hooks()
    except Exception as error:
        raise CommandError(f"The hooks of the site cannot be imported: {_text(error)}") from error
    for failure in import_tasks():
        logger.error("%s", str(failure))


def import_tasks() -> list[Failure]:
    """Import the module ``tasks`` of each app that has one; return those that fail."""
    found = []
    for config in apps.get_app_configs():
        name = f"{config.name}.tasks"
        if config.module is None or not module_has_submodule(config.module, "tasks"):
            continue
        try:
            with contextlib.redirect_stdout(sys.stderr):
                import_module(name)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # SystemExit, too: it is the module's, not ours
            found.append(Failure(name, _text(error)))
    return found


def _text(error: BaseException) -> str:
    """Return class, text and place of an error, in one line."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.name in ("tasks.py", "wagtail_hooks.py") or file.parent.name == "tasks":
            place = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {one_line(error)}{place}"
