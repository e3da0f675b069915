"""What a web process imports: it starts anew with each deploy, and every editor waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.processes import REPOSITORY

FOR_WORKERS = {
    *("worker", "worker.process", "worker.worker", "worker.schedule", "worker.supervisor", "tasks"),
    *("integrations.commands", "integrations.indexing", "integrations.bulk_actions.execution"),
    *("storage.waiter", "storage.watchers", "storage.watchers.base", "storage.watchers.polling"),
    *("storage.watchers.postgresql", "storage.watchers.sqlite", "worker.console", "worker.log"),
}
FOR_COMMANDS = {
    *("management", "monitoring"),
    *(f"checks.{name}" for name in ("hooks", "integrations", "options", "settings", "takeover")),
    *(f"checks.{name}" for name in ("database", "modules", "schedule", "unimported")),
}
FOR_TESTS = {"testing", "pytest_plugin", "localize", "integrations.localize"}
FOR_OTHER_STORAGES = {"storage.notifier", "storage.celery"}
FOR_WHO_ASKS = {
    "health",
    *("embedded", "worker.embedded.process", "worker.embedded.thread", "worker.embedded.host"),
    *("mail", "integrations.mail", "hooks.receivers", "queue.progress", "queue.pausing"),
    *("hooks.source", "hooks.leftovers"),
    *("integrations.bulk_actions.calls", "integrations.bulk_actions.summary"),
}
"""Imported when something of the site asks for it, which the demo's start does not."""

OF_TASKS = {"django", "django_tasks"}
"""Where the backend for `TASKS` knows both APIs, and Wagtail one of them."""

LOAD = """
import sys
# As if they were not installed: Huey imports them if they are.
sys.modules["redis"] = sys.modules["gevent"] = None
from benchmarks.loading import load_site

load_site()
print(*(name for name, module in sys.modules.items() if module is not None))
"""


def imported(contender: str) -> set[str]:
    """Return what a web process of the demo imports, as the benchmarks load it.

    On SQLite, as Huey imports the driver of that, and Django would not on another database.
    """
    given = {"DJANGO_SETTINGS_MODULE": "benchmarks.settings", "BENCH_CONTENDER": contender}
    given["SITE_DATABASE"] = "sqlite"
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=REPOSITORY,
        env={**os.environ, **given},
        capture_output=True,
        check=True,
        text=True,
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def ours() -> set[str]:
    """Return what is imported with the package."""
    return imported("ours")


@pytest.mark.slow
def test_web_process__imports_nothing_that_only_others_need(ours: set[str]) -> None:
    package = "wagtail_async_hooks."
    loaded = {name.removeprefix(package) for name in ours if name.startswith(package)}
    unwanted = FOR_WORKERS | FOR_COMMANDS | FOR_TESTS | FOR_OTHER_STORAGES | FOR_WHO_ASKS
    assert all(find_spec(package + name) for name in unwanted)
    assert {"queue.task_queue", "hooks.dispatch", "wagtail_hooks"} <= loaded
    assert not loaded & unwanted


@pytest.mark.slow
def test_web_process__needs_nothing_of_python_and_libraries_that_wagtail_does_not(
    ours: set[str],
) -> None:
    new = {name.split(".", 1)[0] for name in ours - imported("bare")}
    assert new - OF_TASKS == {"wagtail_async_hooks", "huey", "blinker"}
