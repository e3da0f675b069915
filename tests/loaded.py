"""What :mod:`tests.forking` copies: a process that has loaded Django, and opened nothing."""

from __future__ import annotations

import gc
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules

import django
from django.apps import apps
from django.core.management import get_commands
from django.db import DatabaseError, connections
from django.urls import get_resolver
from django.utils.module_loading import module_has_submodule

django.setup()

# What most commands load besides.
for module in (
    "wagtail_async_hooks.management.commands.wagtail_worker",
    "wagtail_async_hooks.worker.process",
    "tests.work.fault_tasks",
    "tests.work.tasks",
):
    import_module(module)
for app in apps.get_app_configs():
    if module_has_submodule(app.module, "migrations"):
        package = import_module(f"{app.name}.migrations")
        for found in iter_modules(package.__path__):
            with suppress(DatabaseError):  # one of Wagtail's asks MySQL for its version
                import_module(f"{package.__name__}.{found.name}")
connections.close_all()
get_commands()
assert get_resolver().url_patterns

gc.freeze()  # the copies share the memory of what their collectors leave alone
