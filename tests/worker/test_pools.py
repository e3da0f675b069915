"""Tests of Django's pool of connections to PostgreSQL, with a worker."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from tests.processes import Process, wait_until
from tests.work.tasks import add
from wagtail_async_hooks.checks.database import check_pool
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import pools

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="Django has pools for PostgreSQL only"
)


def start(size: int, *options: str, output: Path) -> Process:
    """Start a worker of two threads with a pool of some size."""
    pytest.importorskip("psycopg_pool")
    environment = {"DJANGO_SETTINGS_MODULE": "tests.pooling.settings", "TEST_POOL": str(size)}
    return Process.manage("wagtail_worker", "--threads=2", *options, output=output, **environment)


@on_postgresql
@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--processes=2",)])
def test_worker__runs_tasks_with_a_pool(
    committed_db: None, tmp_path: Path, options: tuple[str, ...]
) -> None:
    for number in range(20):
        add(number, 1)
    worker = start(2 + pools.BESIDE_THREADS, *options, output=tmp_path / "worker")
    try:
        done = BackgroundTask.objects.filter(state=State.SUCCEEDED)
        wait_until(lambda: done.count() == 20, "all tasks succeed")
        add(1, 1)  # while all of its threads wait
        wait_until(lambda: done.count() == 21, "one more succeeds")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    finally:
        worker.stop()
    assert "Traceback" not in worker.said()
    assert "WARNING" not in worker.said()
    assert "ERROR" not in worker.said()


@on_postgresql
@pytest.mark.slow
def test_worker__says_that_the_pool_is_too_small(committed_db: None, tmp_path: Path) -> None:
    worker = start(4, output=tmp_path / "worker")
    try:
        assert worker.wait() == 1
    finally:
        worker.stop()
    assert worker.said().splitlines()[-1] == (
        'CommandError: DATABASES["default"]["OPTIONS"]["pool"]["max_size"] is 4, but a worker '
        "process with 2 threads needs 5 connections: one for each thread, and 3 beside them; set "
        "it to at least 5."
    )


@on_postgresql
@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({"max_size": 6}, "is 6"),
        (True, "is not set, so it is 4"),
        ({"min_size": 3}, "is not set, so it is 3"),
        ({"max_size": 7}, ""),
        ({"min_size": 9}, ""),
        (None, ""),
        ({"max_size": "many"}, ""),
    ],
)
def test_check__of_the_size(
    pool: Any, told: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    options = {**connections.settings["default"].get("OPTIONS", {}), "pool": pool}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "WORKER": {"threads": 4}}

    messages = list(check_pool())  # not all checks: some ask the database

    assert len(messages) == (1 if told else 0)
    if told:
        assert f'["pool"]["max_size"] {told}, but a worker process with 4' in messages[0].msg
        assert "set it to at least 7" in messages[0].msg


def test_check__of_other_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"pool": True}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)

    assert bool(pools.why_too_small("default", 4)) is (connection.vendor == "postgresql")
