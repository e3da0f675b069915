"""What a web process imports: it starts anew with each deploy, and every editor waits for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import REPOSITORY

FOR_WORKERS = {
    *("worker", "supervisor", "scheduler", "serving", "pruning", "logs", "tasks"),
    *("schedule", "commands", "indexing", "bulk_actions.running"),
}
FOR_COMMANDS = {"management", "checks", "contradictions", "diagnosis", "listing", "showing"}
FOR_TESTS = {"testing", "pytest_plugin", "localize"}
FOR_OTHER_STORAGES = {"storage.bell"}

LOAD = """
import sys
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

get_wsgi_application()
get_resolver().url_patterns
print(*(name for name in sys.modules if name.startswith("wagtail_async_hooks.")))
"""


@pytest.mark.slow
def test_web_process__imports_nothing_that_only_others_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.site.settings",
            "SITE_BACKEND": "database",
        },
        capture_output=True,
        check=True,
        text=True,
    )
    loaded = {name.removeprefix("wagtail_async_hooks.") for name in done.stdout.split()}
    assert {"queue", "dispatch", "wagtail_hooks"} <= loaded
    assert not loaded & (FOR_WORKERS | FOR_COMMANDS | FOR_TESTS | FOR_OTHER_STORAGES)
