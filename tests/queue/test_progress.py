"""Tests of progress: it is in the row, not too often, and a task that is cancelled ends there."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db.models.query import QuerySet
from django.test.utils import CaptureQueriesContext

from tests.draining import run_all
from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import aprogress, background, progress, signals, track
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.queue import progress as reporting
from wagtail_async_hooks.types import Progress, State

Steps = list[tuple[Any, ...]]

seen: list[tuple[int | None, int | None, str]] = []
"""What the row said while the function ran."""


def look() -> None:
    """Remember what the row says."""
    row = BackgroundTask.objects.get()
    seen.append((row.progress_done, row.progress_total, row.progress_note))


@background.task()
def report(*steps: tuple[Any, ...]) -> None:
    """Report some steps, and look at the row after each."""
    for step in steps:
        progress(*step)
        look()


@background.task()
def report_and_be_cancelled() -> None:
    """Be cancelled between two reports."""
    progress(1, 3)
    control.cancel([BackgroundTask.objects.get().pk])
    progress(2, 3)
    raise AssertionError("it should have ended")


@background.task()
async def report_from_a_coroutine() -> None:
    """Report one step."""
    await aprogress(1, 2, "half")


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    """Forget what an earlier test saw."""
    seen.clear()


@pytest.fixture
def every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write whatever is reported."""
    monkeypatch.setattr(reporting, "INTERVAL", 0)


def row() -> BackgroundTask:
    """Return the only task."""
    return BackgroundTask.objects.get()


# progress -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_progress__is_in_the_row_while_it_runs(every_time: None) -> None:
    report((1, 3, "one"), (2, 3, "two"))

    run_all()

    assert seen == [(1, 3, "one"), (2, 3, "two")]


@pytest.mark.django_db
def test_progress__is_not_written_too_often_and_the_last_one_is_kept() -> None:
    report((1, 3), (2, 3), (3, 3, "done"))

    run_all()

    assert seen == [(1, 3, ""), (1, 3, ""), (1, 3, "")]
    assert (row().progress_done, row().progress_note) == (3, "done")


@pytest.mark.django_db
def test_progress__costs_one_query_or_none(django_assert_num_queries: Any) -> None:
    counted = []

    @background.task()
    def report_much() -> None:
        for number in range(50):
            with CaptureQueriesContext(django_connection()) as queries:
                progress(number, 50)
            counted.append(len(queries))

    try:
        report_much()
        run_all()
    finally:
        report_much.unregister()
    assert counted[0] == 1
    assert sum(counted) <= 5  # half a second has hardly passed


def django_connection() -> Any:
    """Return the connection of the ledger."""
    from django.db import connection

    return connection


@pytest.mark.django_db
def test_progress__without_a_total() -> None:
    report((7,))

    run_all()

    assert seen == [(7, None, "")]


@pytest.mark.django_db
def test_progress__a_long_note_is_cut() -> None:
    report((1, 2, "x" * 300))

    run_all()

    assert seen == [(1, 2, "x" * 252 + "...")]


@pytest.mark.django_db
def test_progress__is_announced(every_time: None) -> None:
    announced = []

    def listen(sender: str, *, task: Any, progress: Progress) -> None:
        announced.append((sender, task.pk, progress))

    with signals.progressed.connected_to(listen):
        report((1, 2))
        run_all()

    assert announced == [(row().name, row().pk, Progress(1, 2))]


@pytest.mark.django_db
def test_progress__from_a_coroutine() -> None:
    report_from_a_coroutine()

    run_all()

    assert row().state == State.SUCCEEDED, row().traceback
    assert (row().progress_done, row().progress_total, row().progress_note) == (1, 2, "half")


@pytest.mark.django_db
def test_progress__in_immediate_mode_says_nothing(immediate: None) -> None:
    @background.task()
    def report_here() -> None:
        progress(1, 2)

    try:
        report_here()
    finally:
        report_here.unregister()
    assert not BackgroundTask.objects.exists()


@pytest.mark.django_db
def test_progress__ends_a_task_that_was_cancelled(every_time: None) -> None:
    report_and_be_cancelled()

    run_all()

    assert (row().state, row().error) == (State.CANCELLED, "it was cancelled")
    assert row().progress_done == 2


@pytest.mark.django_db
def test_progress__ends_a_task_that_was_given_to_another_worker(every_time: None) -> None:
    @background.task()
    def lose_and_report() -> None:
        BackgroundTask.objects.update(attempt=7)
        progress(1, 2)
        seen.append((0, 0, "went on"))

    try:
        lose_and_report()
        run_all()
    finally:
        lose_and_report.unregister()
    assert seen == []
    assert row().state == State.RUNNING


# track --------------------------------------------------------------------------------------


class Counted(QuerySet[BackgroundTask]):
    """A queryset that must not be read as a whole to be counted."""

    def __len__(self) -> int:
        raise AssertionError("all of it was read")


@pytest.mark.parametrize(
    ("items", "total"),
    [([1, 2], 2), (iter([1, 2]), None), ({1, 2}, 2)],
    ids=["list", "iter", "set"],
)
@pytest.mark.django_db
def test_track__counts_what_has_been_dealt_with(
    items: Any, total: int | None, every_time: None
) -> None:
    @background.task()
    def go_through() -> None:
        for _ in track(items, note="things"):
            look()
        look()

    try:
        go_through()
        run_all()
    finally:
        go_through.unregister()
    assert seen == [(0, total, "things"), (1, total, "things"), (2, total, "things")]


@pytest.mark.django_db
def test_track__counts_a_queryset_in_the_database() -> None:
    assert list(track(Counted(BackgroundTask))) == []


def test_track__outside_a_task_is_the_iterable() -> None:
    assert list(track("abc")) == ["a", "b", "c"]


# In a terminal ------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """What a terminal shows."""

    def isatty(self) -> bool:
        return True


def test_progress__by_hand_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())

    for _ in track([1, 2], note="pages"):
        pass

    lines = sys.stderr.getvalue().split("\r\x1b[K")  # type: ignore[attr-defined]
    assert lines[1:] == [
        f"{'░' * 30} 0/2 pages",
        f"{'█' * 15}{'░' * 15} 1/2 pages",
        f"{'█' * 30} 2/2 pages\n",
    ]


def test_progress__by_hand_but_into_a_file_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    async_to_sync(aprogress)(1, 2)

    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


# In a real worker ---------------------------------------------------------------------------


@pytest.mark.slow
def test_cancel__ends_what_runs_in_a_worker(
    start: Callable[..., Process], backend: dict[str, str], trace_file: Path
) -> None:
    tasks.report_until_cancelled(str(trace_file))
    start("wagtail_worker", **backend)
    wait_until(lambda: row().progress_done, "the task reports")

    assert control.cancel([row().pk]) == 1

    wait_until(lambda: row().state == State.CANCELLED, "it ends")
    steps = len(trace_file.read_text().splitlines())
    assert row().progress_done <= steps
    assert row().error == "it was cancelled"
