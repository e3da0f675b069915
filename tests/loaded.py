"""What :mod:`tests.forking` copies: a process that has loaded Django, and opened nothing."""

from __future__ import annotations

import gc
from importlib import import_module

import django
from django.core.management import get_commands
from django.db.migrations.loader import MigrationLoader
from django.urls import get_resolver

django.setup()

# What most commands load besides.
for module in (
    "wagtail_async_hooks.management.commands.wagtail_worker",
    "wagtail_async_hooks.worker.process",
    "tests.work.fault_tasks",
    "tests.work.tasks",
):
    import_module(module)
get_commands()
MigrationLoader(None, ignore_no_migrations=True)
assert get_resolver().url_patterns

gc.freeze()  # the copies share the memory of what their collectors leave alone
