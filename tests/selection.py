"""Which tests `make test` leaves out, which it runs on database servers too, and which go together.

`make test-all` runs all of them, and on database servers all but those that start the same
processes whatever the database is.
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
    "ledger",
    "monitoring/alerts",
    "monitoring/test_errors.py",
    "monitoring/test_health.py",
    "monitoring/test_overview.py",
    "monitoring/test_statistics.py",
    "queue/test_connection_guard.py",
    "queue/test_control.py",
    "queue/test_keys.py",
    "queue/test_pausing.py",
    "queue/test_progress.py",
    "queue/test_queues.py",
    "queue/test_recording.py",
    "queue/test_refusals.py",
    "queue/test_retries.py",
    "queue/test_row.py",
    "queue/test_starvation.py",
    "queue/test_task_queue.py",
    "schema",
    "serialization/test_deleted.py",
    "serialization/test_instances.py",
    "storage",
    "utils/test_database_errors.py",
    "utils/test_instants.py",
    "utils/test_values.py",
    "worker/test_coroutines.py",
    "worker/test_forks.py",
    "worker/test_outages.py",
    "worker/test_pools.py",
    "worker/test_pruning.py",
    "worker/test_restored.py",
    "worker/test_scheduler.py",
    "worker/test_statistics.py",
    "worker/test_supervisor.py",
    "worker/test_worker.py",
    "worker/test_wrong_clocks.py",
)
"""What writes to the ledger, waits for locks, or has several processes: SQL, transactions, time.

Those of them that need a Redis do not depend on the database besides."""

LONG: Final = (
    "admin/test_access.py::test_read_only__changes_nothing_by_any_parameter",
    "admin/test_access.py::test_superuser__changes_by_post_alone",
    "admin/test_access.py::test_table__is_true",
    "admin/test_queries.py::test_pages__make_few_queries_however_many_tasks_there_are",
    "admin/test_tasks.py::test_pages__answer_whatever_is_asked_for",
    "browser",
    "checks/test_newcomers.py",
    "faults/test_outages.py::test_database__loses_nothing[database_stopped_while_idle]",
    "faults/test_outages.py::test_database__loses_nothing[read_only_failover]",
    "hooks/test_autosave.py::test_autosave__with_coalesce_it_runs_once",
    "hooks/test_receivers.py::test_receiver__in_a_real_worker",
    "hooks/test_takeover.py::test_packages__of_others_build_ping_and_purge_in_a_worker",
    "integrations/test_localize.py::test_backend__within_wagtail_localize",
    "integrations/tasks_backend/test_wagtails_own.py::test_indexes__are_those_of_a_full_rebuild",
    "integrations/test_renditions.py::test_workers__two_at_once_make_each_rendition_once",
    "integrations/test_sentry.py",
    "integrations/test_sentry_events.py",
    "management/commands/test_wagtail_worker.py::test_database__does_not_answer",
    "monitoring/alerts/test_arriving.py::test_function_that_hangs__",
    "monitoring/alerts/test_arriving.py::test_server_that_does_not_answer__",
    "monitoring/test_prometheus.py::test_processes__count_together",
    "monitoring/test_prometheus.py::test_worker__shows_its_own_and_waits_for_a_port",
    "project/test_benchmarks.py::test_measures__run",
    "project/test_demo.py",
    "project/test_deployment.py::test_cron__",
    "project/test_dist.py",
    "project/test_secrets.py::test_secrets__are_neither_stored_nor_logged[redis]",
    "project/test_tutorial.py",
    "project/test_translations.py",
    "project/test_typing.py",
    "project/test_without_tables.py",
    "queue/test_base_exceptions.py::test_immediate__what_stops_the_server_goes_on_to_stop_it",
    "queue/test_base_exceptions.py::test_worker__",
    "queue/test_queues.py::test_effort__",
    "serialization/test_hostile_messages.py::test_worker__",
    "worker/test_embedded_servers.py",
    "worker/test_health.py::test_systemd__hears_nothing_of_a_worker_whose_main_thread_hangs",
    "worker/test_health.py::test_systemd__hears_of_the_start_of_life_and_of_the_end",
    "worker/test_log.py::test_fields__say_which_task_it_is",
    "worker/test_worker.py::test_signal__heartbeats_go_on_while_the_last_task_runs",
    "worker/test_wrong_clocks.py",
)
"""What takes long for what it shows: benchmarks, browsers, sites that migrate a database of their
own, and sites and hosts whose processes each load everything afresh."""

LONG_BUT_FOR: Final = {
    "management/test_terminal.py": ("test_cancel__",),
    "worker/test_celery.py": ("test_pool__runs_what_is_committed[rabbitmq-prefork",),
    "worker/test_recycling.py": (
        *("test_channel__", "test_limits__", "test_options__", "test_own__", "test_resident__"),
        *("test_running_worker__", "test_wear__", "test_what_runs__"),
    ),
    "worker/test_reloading.py": (
        "test_default__",
        "test_reload__",
        "test_sqlite_",
    ),
}
"""Modules that take long, and which of their tests `make test` runs all the same."""

ONCE: Final = (
    "browser",
    "checks/test_newcomers.py",
    "integrations/test_localize.py",
    "integrations/test_mail.py",
    "integrations/test_sentry.py",
    "integrations/test_sentry_events.py",
    "management/test_terminal.py",
    "monitoring/test_opentelemetry.py",
    "monitoring/test_prometheus.py",
    "project/test_benchmarks.py",
    "project/test_demo.py",
    "project/test_deployment.py",
    "project/test_docs.py",
    "project/test_imports.py",
    "project/test_translations.py",
    "project/test_typing.py",
    "worker/test_celery.py",
    "worker/test_celery_worker.py",
    "worker/test_embedded_servers.py",
    "worker/test_health.py",
    "worker/test_log.py",
    "worker/test_recycling.py",
    "worker/test_reloading.py",
)
"""What is about other processes than the database's: browsers, web servers, Celery, terminals, the
project. It runs on SQLite alone, and so does what needs a Redis."""

TOGETHER: Final = {
    FOLDER / path
    for path in (
        "browser/test_editors.py",
        "browser/test_looks.py",
        "browser/test_reports.py",
        "browser/test_smoke.py",
        "fidelity/test_fidelity.py",
        "ledger/test_effort.py",
        "project/test_demo.py",
        "project/test_dist.py",
        "project/test_imports.py",
        "serialization/test_hostile_messages.py",
    )
}
"""Modules whose tests share a fixture, and therefore run in one process."""


def mark(items: Iterable[pytest.Item]) -> None:
    """Give the tests their markers."""
    for path in (*DEPEND_ON_THE_DATABASE, *LONG_BUT_FOR, *ONCE):
        assert (FOLDER / path).exists(), f"There is no tests/{path}; see {__name__}."
    depend = tuple(f"tests/{path}" for path in DEPEND_ON_THE_DATABASE)
    long = tuple(f"tests/{name}" for name in (*LONG, *LONG_BUT_FOR))
    once = tuple(f"tests/{path}" for path in ONCE)
    kept = tuple(f"tests/{path}::{name}" for path, some in LONG_BUT_FOR.items() for name in some)
    for item in items:
        needs_redis = _needs_redis(item)
        if item.nodeid.startswith(depend) and not needs_redis:
            item.add_marker(pytest.mark.database)
        if item.nodeid.startswith(once) or needs_redis:
            item.add_marker(pytest.mark.once)
        if item.nodeid.startswith(long) and not item.nodeid.startswith(kept):
            item.add_marker(pytest.mark.long)


def _needs_redis(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "redis" in parameters.values() or "redis" in getattr(item, "fixturenames", ())
