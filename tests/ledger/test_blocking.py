"""Tasks that wait behind many others with their key are out of the way, and come back in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from tests.effort import effort
from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.ledger import blocking
from wagtail_async_hooks.ledger.queues import waiting_by_queue
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import EVERYTHING, Bounds, Claim, Outcome, State

BOUNDS = {
    "no bounds": EVERYTHING,
    "queues": Bounds(queues=("default", "mail")),
    "a queue": Bounds(queues=("default",)),
    "a limit": Bounds(limits={"default": 5}),
    "a pause": Bounds(hooks=("after_edit_page",)),
}


def enqueue(number: int = 1, key: str = "k", priority: int = 0) -> list[int]:
    """Record so many tasks with an exclusive key; return their rows' numbers."""
    before = BackgroundTask.objects.count()
    with transaction.atomic():
        for n in range(number):
            task = tasks.add.task_class((n, 1), {}, priority=priority)
            task.submission.exclusive_key = key
            background.enqueue(task)
    rows = BackgroundTask.objects.order_by("pk").values_list("pk", flat=True)
    return list(rows[before:])


def claim(bounds: Bounds = EVERYTHING) -> Claim:
    """Claim the next task."""
    _, claimed = ledger.step(None, None, bounds=bounds)
    assert claimed is not None
    return claimed


def next_after(claimed: Claim, state: State = State.SUCCEEDED, **outcome: Any) -> Claim | None:
    """Record the end of a task, and claim the next."""
    kept, found = ledger.step(Outcome(claimed, state, **outcome), None)
    assert kept
    return found


def blocked() -> list[int]:
    """Return what claims pass over."""
    return list(
        BackgroundTask.objects.filter(blocked=True).order_by("pk").values_list("pk", flat=True)
    )


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few be many."""
    monkeypatch.setattr(blocking, "MANY", 3)


@pytest.mark.django_db
def test_block__few_wait_as_they_are(django_assert_num_queries: Any) -> None:
    enqueue(blocking.MANY)
    claimed = claim()
    with django_assert_num_queries(1):
        assert ledger.block_behind([claimed]) == 0


@pytest.mark.django_db
def test_block__a_task_without_a_key_asks_nothing(django_assert_num_queries: Any) -> None:
    tasks.add(1, 2)
    claimed = claim()
    with django_assert_num_queries(0):
        assert ledger.block_behind([claimed]) == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_block__all_behind_a_running_task_but_the_first() -> None:
    _, following, *behind = enqueue(10)
    others = enqueue(3, key="other")
    claimed = claim()

    assert ledger.block_behind([claimed]) == 8

    assert blocked() == behind
    assert ledger.block_behind([claimed]) == 0
    found = claim()
    assert found.pk == others[0]
    assert following not in blocked()


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_block__not_behind_a_task_that_has_ended() -> None:
    enqueue(10)
    claimed = claim()
    ledger.step(Outcome(claimed, State.SUCCEEDED), None, claim=False)
    assert ledger.block_behind([claimed]) == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_block__in_several_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "AT_ONCE", 4)
    enqueue(20)
    claimed = claim()
    assert ledger.block_behind([claimed]) >= 15


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", BOUNDS)
def test_order__is_kept_from_one_to_the_next(name: str) -> None:
    bounds = BOUNDS[name]
    expected = enqueue(10)
    claimed = claim(bounds)
    ledger.block_behind([claimed])
    expected += enqueue(3)  # not blocked, and yet not before those that are

    ran = []
    while claimed is not None:
        ran.append(claimed.pk)
        _, found = ledger.step(Outcome(claimed, State.SUCCEEDED), None, bounds=bounds)
        claimed = found  # type: ignore[assignment]

    assert ran == expected
    assert blocked() == []


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_order__what_is_more_urgent_goes_first() -> None:
    _, second, *_ = enqueue(10)
    [urgent] = enqueue(priority=1)
    claimed = claim()
    assert claimed.pk == urgent
    ledger.block_behind([claimed])
    [most_urgent] = enqueue(priority=2)

    found = next_after(claimed)

    assert found is not None
    assert found.pk == most_urgent
    after = next_after(found)
    assert after is not None
    assert after.pk == second - 1


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("state", "error"),
    [(State.FAILED, "no"), (State.SCHEDULED, "no"), (State.CANCELLED, "")],
)
def test_end__whatever_it_is_unblocks_the_next(state: State, error: str) -> None:
    _, second, third, *_ = enqueue(10)
    claimed = claim()
    ledger.block_behind([claimed])

    found = next_after(claimed, state, error=error)
    assert found is not None
    assert found.pk == second
    found = next_after(found, state, error=error)

    assert found is not None
    assert found.pk == third


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_end__of_a_worker_leaves_nothing_behind() -> None:
    first, second, *_ = enqueue(10)
    _, claimed = ledger.step(None, 7)
    assert claimed is not None
    ledger.block_behind([claimed])

    ledger.stop_worker(7)

    again = claim()
    assert again.pk == first
    found = next_after(again)
    assert found is not None
    assert found.pk == second


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_unblock__finds_what_nobody_would_unblock() -> None:
    """The running task and the first one behind it are gone; their rows were deleted by hand."""
    first, second, third, *_ = enqueue(10)
    ledger.block_behind([claim()])
    BackgroundTask.objects.filter(pk__in=[first, second]).delete()
    assert ledger.step(None, None)[1] is None

    ledger.unblock()

    assert claim().pk == third


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_unblock__of_several_keys() -> None:
    keys = {name: enqueue(10, key=name) for name in "abc"}
    held = [claim() for _ in keys]
    ledger.block_behind(held)
    gone = [pk for name in "ac" for pk in keys[name][:2]]
    BackgroundTask.objects.filter(pk__in=gone).delete()

    ledger.unblock()

    assert {claim().pk, claim().pk} == {keys["a"][2], keys["c"][2]}
    assert ledger.step(None, None)[1] is None


@pytest.mark.django_db
def test_unblock__costs_one_query_where_nothing_is_blocked(django_assert_num_queries: Any) -> None:
    enqueue(3)
    with django_assert_num_queries(1):
        ledger.unblock()


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_unblock__leaves_alone_what_waits_for_a_running_task() -> None:
    _, _, *behind = enqueue(10)
    ledger.block_behind([claim()])
    ledger.unblock()
    assert blocked() == behind


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_retry__of_what_was_cancelled_while_it_was_blocked() -> None:
    *_, last = enqueue(10)
    ledger.block_behind([claim()])
    ledger.cancel([last], "no")
    ledger.retry({last: (0, None)})
    assert last not in blocked()


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_coalescing__what_runs_for_the_others_is_blocked_no_longer() -> None:
    """The newest runs, which was blocked; it is found at once when it is due again."""
    first, *_ = enqueue(10)
    running = claim()
    assert running.pk == first
    ledger.block_behind([running])
    BackgroundTask.objects.exclude(pk=first).update(coalesce_key="k")
    newest = next_after(running)
    assert newest is not None
    assert len(newest.merged) == 8

    next_after(newest, State.SCHEDULED, error="no", run_in=0.0)

    assert blocked() == []
    BackgroundTask.objects.filter(pk=newest.pk).update(state=State.WAITING)
    assert claim().pk == newest.pk


@pytest.mark.django_db
@pytest.mark.usefixtures("eager")
def test_statistics__count_what_is_blocked() -> None:
    enqueue(10)
    ledger.block_behind([claim()])
    assert waiting_by_queue()["default"].number == 9


@pytest.mark.usefixtures("eager")
def test_block__waits_for_nobody_who_records_the_end(committed_db: None) -> None:
    """Whoever records the end does not see what is blocked meanwhile, and would not unblock it."""
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("this database lets one transaction write at a time")
    enqueue(10)
    claimed = claim()
    locked, leave = threading.Event(), threading.Event()

    def finish() -> None:
        with transaction.atomic():
            ledger.step(Outcome(claimed, State.SUCCEEDED), None, claim=False)
            locked.set()
            leave.wait(30)
        connections.close_all()

    thread = threading.Thread(target=finish)
    thread.start()
    assert locked.wait(30)
    number = ledger.block_behind([claimed])
    leave.set()
    thread.join(30)

    assert number == 0
    assert blocked() == []


@pytest.mark.django_db
@pytest.mark.parametrize("name", BOUNDS)
def test_claim__reads_no_more_however_many_wait_for_a_key(name: str) -> None:
    bounds = BOUNDS[name]
    enqueue(1000)
    holder = claim()
    enqueue(3, key="")
    while ledger.block_behind([holder]):
        pass
    claimed = claim(bounds)

    def step() -> None:
        ledger.step(Outcome(claimed, State.SUCCEEDED), None, bounds=bounds)

    assert effort(step) < 1000


def run_worker() -> None:
    """Run a worker that takes few for many."""
    blocking.MANY = 3  # type: ignore[misc]
    call_command("wagtail_worker", threads=2)


@pytest.mark.slow
def test_workers__block_and_unblock_without_losing_any(
    start: Callable[..., Process], backend: dict[str, str]
) -> None:
    enqueue(300)
    for _ in range(2):
        start("shell", "-c", f"from {__name__} import run_worker; run_worker()", **backend)
    wait_until(
        lambda: not BackgroundTask.objects.exclude(state=State.SUCCEEDED).exists(), "all have run"
    )
    order = BackgroundTask.objects.order_by("started_at").values_list("pk", flat=True)
    assert list(order) == sorted(order)
