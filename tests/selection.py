"""Which tests `make test` leaves out, which it runs on database servers too, and which go together.

`make test-all` runs all of them on all databases.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from django.db import connection

FOLDER: Final = Path(__file__).parent

DEPEND_ON_THE_DATABASE: Final = (
    "arguments/test_deleted.py",
    "arguments/test_instances.py",
    "bulk_actions/test_objects.py",
    "bulk_actions/test_processes.py",
    "bulk_actions/test_running.py",
    "faults",
    "indexing",
    "ledger",
    "management",
    "schema",
    "storage",
    "tasks_backend",
    "test_coalescing.py",
    "test_connection_guard.py",
    "test_control.py",
    "test_database_errors.py",
    "test_debounce.py",
    "test_effort.py",
    "test_exclusive.py",
    "test_fitting.py",
    "test_forks.py",
    "test_instants.py",
    "test_keys.py",
    "test_listing.py",
    "test_locked_rows.py",
    "test_models.py",
    "test_outages.py",
    "test_overview.py",
    "test_pausing.py",
    "test_pools.py",
    "test_pruning.py",
    "test_queue.py",
    "test_queues.py",
    "test_recording.py",
    "test_refusals.py",
    "test_reporting.py",
    "test_restored.py",
    "test_retrying.py",
    "test_scheduled_publishing.py",
    "test_scheduler.py",
    "test_starvation.py",
    "test_state_machine.py",
    "test_supervisor.py",
    "test_worker.py",
    "test_wrong_clocks.py",
)
"""What writes to the ledger, waits for locks, or has several processes: SQL, transactions, time.

Those of them that need a Redis do not depend on the database besides."""

LONG: Final = (
    "test_benchmarks.py::test_measures__run",
    "test_demo.py",
    "test_localize.py::test_backend__within_wagtail_localize",
    "test_takeover.py::test_packages__of_others_build_ping_and_purge_in_a_worker",
)
"""What takes long for what it shows: benchmarks, and sites that migrate a database of their own."""

LONG_ON_MYSQL: Final = ("test_wrong_clocks.py",)
"""Whose many processes start afresh: with PostgreSQL's clock, `make test` looks at them once."""

TOGETHER: Final = {
    FOLDER / path
    for path in (
        "fidelity/test_fidelity.py",
        "test_demo.py",
        "test_effort.py",
        "test_hostile_messages.py",
        "test_imports.py",
    )
}
"""Modules whose tests share a fixture, and therefore run in one process."""


def mark(items: Iterable[pytest.Item]) -> None:
    """Give the tests their markers."""
    for path in DEPEND_ON_THE_DATABASE:
        assert (FOLDER / path).exists(), f"There is no tests/{path}; see {__name__}."
    depend = tuple(f"tests/{path}" for path in DEPEND_ON_THE_DATABASE)
    on_mysql = LONG_ON_MYSQL if connection.vendor == "mysql" else ()
    long = tuple(f"tests/{name}" for name in (*LONG, *on_mysql))
    for item in items:
        if item.nodeid.startswith(depend) and not _needs_redis(item):
            item.add_marker(pytest.mark.database)
        if item.nodeid.startswith(long):
            item.add_marker(pytest.mark.long)


def _needs_redis(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "redis" in parameters.values() or "redis" in getattr(item, "fixturenames", ())
