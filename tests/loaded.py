"""What :mod:`tests.forking` copies: a process that has loaded Django, and opened nothing."""

from __future__ import annotations

import gc

import django
from django.core.management import get_commands
from django.urls import get_resolver

django.setup()

# What most commands load besides.
import tests.work.fault_tasks
import tests.work.tasks
import wagtail_async_hooks.management.commands.wagtail_worker
import wagtail_async_hooks.worker

get_commands()
assert get_resolver().url_patterns
gc.freeze()  # the copies share the memory of what their collectors leave alone
