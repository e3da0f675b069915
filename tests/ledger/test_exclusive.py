"""Tests of exclusive keys: tasks with the same one never run at the same time, and run in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.models import F
from django.utils import timezone

from tests.processes import Process, wait_until
from tests.work.tasks import leave_trace
from wagtail_async_hooks import background, hooks, ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import Claim, Outcome, State

KEYS = 10
TASKS = 200
WORKERS = 4


@background.task(retries=1)
def say(word: Any) -> Any:
    """Return the argument."""
    return word


@background.task()
def take_part(path: str, key: int, number: int) -> None:
    """Say when it begins and when it ends."""
    leave_trace(path, key, "begins", number)
    threading.Event().wait(0.002)  # so that others would get in between
    leave_trace(path, key, "ends", number)


def enqueue(word: Any = "a", key: str = "k", **columns: Any) -> int:
    """Record a task with an exclusive key; return its row's number."""
    task = say.task_class((word,), {}, priority=columns.get("priority"))
    task.submission.exclusive_key = key
    background.enqueue(task)
    return BackgroundTask.objects.order_by("pk").last().pk  # type: ignore[union-attr]


def claim() -> Claim | None:
    """Claim the next task."""
    return ledger.step(None, None)[1]


def finish(claimed: Claim | None, state: State = State.SUCCEEDED, error: str = "") -> None:
    """Record how a claimed task ended."""
    assert claimed is not None
    assert ledger.step(Outcome(claimed, state, error=error), None, claim=False)[0]


# Claim --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_claim__one_after_the_other() -> None:
    first, second = enqueue(), enqueue()

    claimed = claim()
    assert claimed is not None
    assert (claimed.pk, claimed.exclusive_key) == (first, "k")
    assert claim() is None
    finish(claimed)

    claimed = claim()
    assert claimed is not None
    assert claimed.pk == second


@pytest.mark.django_db
def test_claim__what_has_another_key_or_none_passes_by() -> None:
    enqueue()
    enqueue()
    others = [enqueue(key="another"), enqueue(key="")]
    claim()

    claimed = [claim(), claim()]

    assert [task and task.pk for task in claimed] == others
    assert claim() is None


@pytest.mark.django_db
def test_claim__priority_comes_before_age() -> None:
    enqueue()
    urgent = enqueue(priority=5)

    claimed = claim()

    assert claimed is not None
    assert claimed.pk == urgent


@pytest.mark.django_db
def test_claim__with_the_record_of_the_last_one_in_one_step() -> None:
    enqueue()
    second = enqueue()
    running = claim()
    assert running is not None

    kept, claimed = ledger.step(Outcome(running, State.SUCCEEDED), None)

    assert kept
    assert claimed is not None
    assert claimed.pk == second


@pytest.mark.django_db
def test_claim__a_task_that_waits_for_its_retry_frees_the_key() -> None:
    enqueue()
    second = enqueue()
    finish(claim(), State.SCHEDULED, "no luck")

    claimed = claim()

    assert claimed is not None
    assert claimed.pk == second


@pytest.mark.django_db
def test_claim__a_dead_worker_frees_the_key() -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        host="a", pid=1, threads=1, release="1", started_at=now, heartbeat_at=now
    )
    first = enqueue()
    enqueue()
    ledger.step(None, worker.pk)
    ledger.rescue([worker.pk], 3)

    claimed = claim()

    assert claimed is not None
    assert claimed.pk == first


@pytest.mark.django_db
def test_claim__merged_tasks_share_the_key() -> None:
    for word in "ab":
        task = say.task_class((word,), {})
        task.submission.coalesce_key = task.submission.exclusive_key = "k"
        background.enqueue(task)

    claimed = claim()

    assert claimed is not None
    states = BackgroundTask.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.MERGED, State.RUNNING]
    assert claimed.exclusive_key == "k"


def test_claim__two_in_the_same_instant(committed_db: None) -> None:
    """The claim of another worker is not committed yet; ours has to find out."""
    if connection.vendor == "sqlite":
        pytest.skip("this database lets one transaction write at a time")
    first, second = enqueue(), enqueue()
    claimed, commit = threading.Event(), threading.Event()
    found: list[Claim | None] = []

    def claim_first() -> None:
        with transaction.atomic():
            row = BackgroundTask.objects.filter(pk=first)
            row.select_for_update().get()
            row.update(state=State.RUNNING, attempt=F("attempt") + 1)
            claimed.set()
            commit.wait(30)
        connections.close_all()

    def claim_second() -> None:
        found.append(claim())
        connections.close_all()

    threads = [threading.Thread(target=claim_first), threading.Thread(target=claim_second)]
    threads[0].start()
    assert claimed.wait(30)
    threads[1].start()
    threading.Event().wait(0.2)  # whether it waits for the constraint by then or not
    commit.set()
    for thread in threads:
        thread.join(30)

    assert found == [None]
    assert BackgroundTask.objects.get(pk=second).state == State.WAITING


def test_claim__does_not_pass_over_a_task_that_another_worker_is_claiming(
    committed_db: None,
) -> None:
    """Its row is locked: the next one of its key waits all the same, and runs after it."""
    if connection.vendor == "sqlite":
        pytest.skip("this database lets one transaction write at a time")
    first, _ = enqueue(), enqueue()
    other = enqueue(key="other")
    locked, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            BackgroundTask.objects.select_for_update().get(pk=first)
            locked.set()
            leave.wait(30)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(30)
    claimed = [claim(), claim()]
    leave.set()
    thread.join(30)

    assert [task and task.pk for task in claimed] == [other, None]


# Attempts -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_attempts__each_is_kept_but_the_last_one_which_is_in_the_row() -> None:
    pk = enqueue()
    finish(claim(), State.WAITING, "first")
    finish(claim(), State.WAITING, "second")
    finish(claim(), State.FAILED, "third")

    assert [(a.number, a.error) for a in ledger.attempts(pk)] == [(1, "first"), (2, "second")]
    assert all(a.started_at and a.started_at <= a.ended_at for a in ledger.attempts(pk))
    assert BackgroundTask.objects.get().error == "third"


@pytest.mark.django_db
def test_attempts__of_one_that_somebody_else_has_taken_over_is_not_kept() -> None:
    pk = enqueue()
    claimed = claim()
    assert claimed is not None
    BackgroundTask.objects.update(attempt=7)

    kept, _ = ledger.step(Outcome(claimed, State.WAITING, error="late"), None, claim=False)

    assert not kept
    assert list(ledger.attempts(pk)) == []


@pytest.mark.django_db
def test_attempts__success_costs_nothing_more(django_assert_num_queries: Any) -> None:
    enqueue()
    claimed = claim()
    assert claimed is not None

    with django_assert_num_queries(
        4
    ):  # a savepoint, the update, who is next, the savepoint's release
        finish(claimed)


# Hooks --------------------------------------------------------------------------------------


def see_page(request: Any, page: Any) -> None:
    """Do nothing."""


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_hook__names_a_key(editor_request: Any) -> None:
    from wagtail.models import Page

    hooks.register("after_publish_page", see_page, background=True, exclusive="page {page.pk}")
    page = Page.get_first_root_node()

    for hook in hooks.get_hooks("after_publish_page"):
        hook(editor_request, page)

    row = BackgroundTask.objects.get(function=f"{__name__}.see_page")
    assert row.exclusive_key == f"page {page.pk}"


# Real workers -------------------------------------------------------------------------------


def run_worker() -> None:
    """Run a worker that knows the tasks of this module."""
    call_command("wagtail_worker", threads=2)


@pytest.mark.slow
def test_workers__never_overlap_within_a_key_and_keep_the_order(
    start: Callable[..., Process], backend: dict[str, str], trace_file: Path
) -> None:
    for number in range(TASKS):
        task = take_part.task_class((str(trace_file), number % KEYS, number), {})
        task.submission.exclusive_key = f"key {number % KEYS}"
        background.enqueue(task)

    code = f"from {__name__} import run_worker; run_worker()"
    for _ in range(WORKERS):
        start("shell", "-c", code, **backend)
    wait_until(
        lambda: not BackgroundTask.objects.exclude(state=State.SUCCEEDED).exists(), "all have run"
    )

    said = defaultdict(list)
    for line in trace_file.read_text().splitlines():
        key, word, number = line.split()
        said[int(key)].append((word, int(number)))
    for key in range(KEYS):
        numbers = range(key, TASKS, KEYS)
        assert said[key] == [(word, n) for n in numbers for word in ("begins", "ends")]
