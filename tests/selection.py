"""Which tests `make test` leaves out, which it runs on database servers too, and which go together.

`make test-all` runs all of them on all databases.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parent

DEPEND_ON_THE_DATABASE: Final = (
    "faults",
    "integrations/bulk_actions/test_execution.py",
    "integrations/bulk_actions/test_objects.py",
    "integrations/bulk_actions/test_processes.py",
    "integrations/indexing",
    "integrations/tasks_backend",
    "integrations/test_scheduled_publishing.py",
    "ledger",
    "management",
    "monitoring/test_overview.py",
    "monitoring/test_registered.py",
    "queue/test_connection_guard.py",
    "queue/test_control.py",
    "queue/test_keys.py",
    "queue/test_pausing.py",
    "queue/test_progress.py",
    "queue/test_queues.py",
    "queue/test_recording.py",
    "queue/test_refusals.py",
    "queue/test_retries.py",
    "queue/test_starvation.py",
    "queue/test_task_queue.py",
    "schema",
    "serialization/test_deleted.py",
    "serialization/test_instances.py",
    "storage",
    "utils/test_database_errors.py",
    "utils/test_instants.py",
    "utils/test_values.py",
    "worker/test_forks.py",
    "worker/test_outages.py",
    "worker/test_pools.py",
    "worker/test_pruning.py",
    "worker/test_restored.py",
    "worker/test_scheduler.py",
    "worker/test_supervisor.py",
    "worker/test_worker.py",
    "worker/test_wrong_clocks.py",
)
"""What writes to the ledger, waits for locks, or has several processes: SQL, transactions, time.

Those of them that need a Redis do not depend on the database besides."""

LONG: Final = (
    "checks/test_newcomers.py",
    "hooks/test_takeover.py::test_packages__of_others_build_ping_and_purge_in_a_worker",
    "integrations/test_localize.py::test_backend__within_wagtail_localize",
    "integrations/test_sentry.py",
    "project/test_benchmarks.py::test_measures__run",
    "project/test_demo.py",
    "worker/test_wrong_clocks.py",
)
"""What takes long for what it shows: benchmarks, sites that migrate a database of their own, and
sites and hosts whose processes each load everything afresh."""

TOGETHER: Final = {
    FOLDER / path
    for path in (
        "fidelity/test_fidelity.py",
        "ledger/test_effort.py",
        "project/test_demo.py",
        "project/test_imports.py",
        "serialization/test_hostile_messages.py",
    )
}
"""Modules whose tests share a fixture, and therefore run in one process."""


def mark(items: Iterable[pytest.Item]) -> None:
    """Give the tests their markers."""
    for path in DEPEND_ON_THE_DATABASE:
        assert (FOLDER / path).exists(), f"There is no tests/{path}; see {__name__}."
    depend = tuple(f"tests/{path}" for path in DEPEND_ON_THE_DATABASE)
    long = tuple(f"tests/{name}" for name in LONG)
    for item in items:
        if item.nodeid.startswith(depend) and not _needs_redis(item):
            item.add_marker(pytest.mark.database)
        if item.nodeid.startswith(long):
            item.add_marker(pytest.mark.long)


def _needs_redis(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "redis" in parameters.values() or "redis" in getattr(item, "fixturenames", ())
