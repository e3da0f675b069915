"""A worker inside of another process, whose signals, logging and connections stay as they are."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from django.db import connections

from tests.processes import wait_until
from tests.work import tasks
from wagtail_async_hooks import background, ledger, signals
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.models import Worker as WorkerRow
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker.supervisor import STOP_SIGNALS
from wagtail_async_hooks.worker.worker import Worker

pytestmark = pytest.mark.slow


def shared() -> object:
    """Return what the threads of the process share, and a worker must not touch."""
    return (
        [signal.getsignal(number) for number in STOP_SIGNALS],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
        connections.settings[ledger.database()].get("CONN_MAX_AGE"),
        [bool(each.receivers) for each in (signals.started, signals.succeeded, signals.rescued)],
    )


def test_worker__starts_and_stops_without_touching_the_process(
    committed_db: None, trace_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = shared()
    worker = Worker(background, threads=2)
    worker.prepare()
    worker.start()
    try:
        tasks.trace(str(trace_file), "x")
        succeeded = BackgroundTask.objects.filter(state=State.SUCCEEDED)
        wait_until(succeeded.exists, "the task has run")
        worker.check()
        assert shared() == before
    finally:
        worker.stop()
    assert not worker.is_alive()
    assert shared() == before
    assert WorkerRow.objects.get().stopped_at is not None
    assert " started" not in caplog.text


def test_worker__hands_back_what_has_not_finished(
    committed_db: None, trace_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = Worker(background, threads=1, shutdown_timeout=0.1)
    worker.prepare()
    worker.start()
    try:
        tasks.wait_for(str(trace_file), str(gate))
        wait_until(lambda: trace_file.exists() and trace_file.read_text(), "the task has begun")
    finally:
        worker.stop()
    row = BackgroundTask.objects.get()
    assert (row.state, row.worker_id, row.deaths) == (State.WAITING, None, 0)
    gate.touch()
    wait_until(lambda: not worker.is_alive(), "the thread has ended")
