"""A process that is a worker, or has one, asked to stop at the worst of moments."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from tests.processes import wait_until
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.models import Worker as WorkerRow
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker.process import WorkerProcess
from wagtail_async_hooks.worker.reporting import Own, Phase, Report
from wagtail_async_hooks.worker.supervisor import STOP_SIGNALS
from wagtail_async_hooks.worker.worker import Worker

pytestmark = pytest.mark.slow


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Give the process its handlers back, and its connections their age."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    options = connections.settings[ledger.database()]
    age = options.get("CONN_MAX_AGE")
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    options["CONN_MAX_AGE"] = age


class Impatient(Own):
    """Asks to stop once a task runs, and again in the moment in which the worker does so.

    :param trace: file in which the task writes as it begins.
    """

    def __init__(self, trace: Path) -> None:
        super().__init__()
        self._trace = trace
        self._has_asked = False

    def is_to_retire(self) -> bool:
        """See ``Own``; called in the worker's loop."""
        if not self._has_asked and self._trace.exists() and self._trace.read_text():
            self._has_asked = True
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    def report(self, report: Report) -> None:
        """See ``Own``."""
        super().report(report)
        if report.phase is Phase.STOPPING:
            os.kill(os.getpid(), signal.SIGTERM)


def test_second_signal_while_it_begins_to_stop__hands_back(
    committed_db: None,
    own_signals: None,
    trace_file: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = tmp_path / "gate"
    caplog.set_level("INFO", "wagtail_async_hooks.worker")
    tasks.wait_for(str(trace_file), str(gate))
    process = WorkerProcess(
        background, threads=1, shutdown_timeout=3600, reporter=Impatient(trace_file)
    )
    process.run()
    try:
        row = BackgroundTask.objects.get()
        assert (row.state, row.deaths) == (State.WAITING, 0)
        assert WorkerRow.objects.get().stopped_at is not None
        assert "Not waiting for what runs." in caplog.messages
        assert "1 unfinished task was handed back." in caplog.messages
    finally:
        gate.touch()
        wait_until(lambda: not process.is_alive(), "the thread has ended")


def test_stop_while_a_thread_claims__nothing_is_left_with_the_worker(
    committed_db: None, trace_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, goes_on = threading.Event(), threading.Event()
    claim = background.next

    def claim_late(worker: int | None = None) -> Any:
        claims.set()
        goes_on.wait()
        return claim(worker)

    monkeypatch.setattr(background, "next", claim_late)
    tasks.trace(str(trace_file), "ran")
    worker = Worker(background, threads=1)
    worker.prepare()
    worker.start()
    claims.wait()

    def release() -> None:
        worker.stop_flag.wait()
        goes_on.set()

    releases = threading.Thread(target=release)
    releases.start()
    worker.stop(graceful=False)
    releases.join()
    row = BackgroundTask.objects.get()
    assert (row.state, row.deaths) == (State.WAITING, 0)
    wait_until(lambda: not worker.is_alive(), "the thread has ended")
    assert trace_file.read_text() == ""
    assert BackgroundTask.objects.get().state == State.WAITING
