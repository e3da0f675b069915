"""Tests that a task which is begun again and again leaves room for the others."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.test import RequestFactory
from django.utils import timezone
from huey.exceptions import CancelExecution, RateLimitExceeded, RetryTask, TaskLockedException
from huey.utils import utcnow
from wagtail.signals import page_published

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import Snooze, background, background_task, hooks, ledger, receiver
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.queue.retries import (
    IMMEDIATE_TRIES,
    LEAST_DELAY,
    LONGEST_LEAST_DELAY,
    again_at,
)
from wagtail_async_hooks.types import State

HOOK = "after_create_page"

MANY = 10_000


class Hot:
    """What the functions below raise, each time."""

    error: ClassVar[Callable[[], BaseException]]
    calls: ClassVar[list[int]] = []

    @classmethod
    def step(cls) -> None:
        """Count, and raise it."""
        cls.calls.append(background_task.attempt)
        raise cls.error()


def burn(*args: Any, **kwargs: Any) -> None:
    """Raise what a test wants."""
    Hot.step()


async def burn_later(*args: Any, **kwargs: Any) -> None:
    """Raise what a test wants, in a coroutine."""
    Hot.step()


@pytest.fixture(autouse=True)
def nothing_called(registries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with no calls, and an error that Huey does not know."""
    monkeypatch.setattr(Hot, "calls", [])
    monkeypatch.setattr(Hot, "error", lambda: ValueError("no luck"), raising=False)


def hot(**options: Any) -> None:
    """Record a task that fails each time."""
    background.task(**options)(burn)()


def others(number: int) -> None:
    """Record tasks that succeed."""
    for each in range(number):
        tasks.add(each, 0)


def run_waiting(limit: int = 200) -> list[str]:
    """Run what waits now, as one thread of a worker does; return the names, in order."""
    ran = []
    while (task := background.next()) is not None and len(ran) < limit:
        ran.append(task.claim.name.rpartition(".")[2])
        background.execute(task)
    return ran


def hot_row() -> BackgroundTask:
    return BackgroundTask.objects.get(name__contains="burn")


def delay_of(row: BackgroundTask) -> float:
    """Return the seconds from the last attempt to the next."""
    assert row.state == State.SCHEDULED
    return float((row.run_at - row.started_at).total_seconds())


def let_it_be_due() -> None:
    """Let the time pass that the scheduled tasks wait for."""
    BackgroundTask.objects.filter(state=State.SCHEDULED).update(run_at=timezone.now())
    background.read_schedule()


def without_class() -> BaseException:
    """Return an error whose class was made for it."""
    return type("Odd", (Exception,), {})("odd")


ERRORS = {
    "error": lambda: ValueError("no luck"),
    "odd": without_class,
    "snooze": lambda: Snooze(0),
    "snooze of an instant": lambda: Snooze(1e-9),
    "retry": RetryTask,
    "retry at once": lambda: RetryTask(delay=0),
    "retry before now": lambda: RetryTask(delay=-60),
    "retry at a past time": lambda: RetryTask(eta=timezone.now() - datetime.timedelta(hours=1)),
    "cancelled and retried": lambda: CancelExecution(retry=True),
    "locked": lambda: TaskLockedException("a lock"),
    "rate": lambda: RateLimitExceeded("a rate", 0, retry=True),
    "rate of an instant": lambda: RateLimitExceeded("a rate", 1e-6, retry=True),
}


@pytest.mark.django_db
@pytest.mark.parametrize("error", ERRORS)
def test_again__others_run_first(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hot, "error", ERRORS[error])
    hot(retries=MANY)
    others(3)

    assert run_waiting() == ["burn", "add", "add", "add"]
    assert LEAST_DELAY <= delay_of(hot_row()) < LEAST_DELAY + 30


@pytest.mark.django_db
@pytest.mark.parametrize("error", ERRORS)
def test_again__it_is_begun_again_all_the_same(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hot, "error", ERRORS[error])
    hot(retries=MANY)
    run_waiting()
    let_it_be_due()
    others(1)

    assert run_waiting() == ["burn", "add"]  # an attempt is due: it keeps its place


@pytest.mark.django_db
@pytest.mark.parametrize(
    "options",
    [
        {"retry_delay": 0},
        {"retry_delay": 0.001},
        {"retry_delay": 0.001, "retry_backoff": 1.01},
        {"retry_delay": 0.5, "retry_jitter": 1},
        {"retry_on": "ValueError"},
        {"timeout": 60},
        {"priority": 7},
        {"exclusive": "a key"},
        {"coalesce": "a key"},
        {"queue": "of its own"},
    ],
    ids=str,
)
def test_again__with_options(options: dict[str, Any]) -> None:
    hot(retries=MANY, **options)
    others(2)

    assert run_waiting() == ["burn", "add", "add"]
    assert delay_of(hot_row()) >= LEAST_DELAY


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["coroutine", "hook", "receiver", "settings"])
def test_again__whatever_called_it(how: str, settings: Any) -> None:
    options = {"retries": MANY}
    if how == "coroutine":
        background.task(**options)(burn_later)()
    elif how == "receiver":
        uid = "burn"
        receiver(page_published, background=True, dispatch_uid=uid, **options)(burn)
        page_published.send(sender=None)
        page_published.disconnect(dispatch_uid=uid)
    else:
        if how == "settings":
            given = {"BACKEND": "database", "HOOKS": {f"{__name__}.burn": options}}
            settings.WAGTAIL_TASKS, options = given, {}
        hooks.register(HOOK, burn, background=True, **options)
        for function in hooks.get_hooks(HOOK):
            function(RequestFactory().get("/"), None)
    others(2)

    ran = run_waiting()
    assert (len(ran), ran[1:]) == (3, ["add", "add"])
    assert delay_of(hot_row()) >= LEAST_DELAY


@pytest.mark.django_db
def test_again__many_such_tasks_leave_room() -> None:
    task = background.task(retries=MANY)(burn)
    for _ in range(20):
        task()
    others(3)

    assert run_waiting() == ["burn"] * 20 + ["add"] * 3


@pytest.mark.django_db
def test_again__the_minimum_grows_with_each_error() -> None:
    hot(retries=MANY)
    found = []
    for _ in range(9):
        run_waiting()
        found.append(round(delay_of(hot_row())))
        let_it_be_due()

    expected = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(0 <= each - least <= 5 for each, least in zip(found, expected, strict=True)), found


@pytest.mark.django_db
def test_again__not_for_what_a_function_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hot, "error", lambda: Snooze(0))
    hot()
    for _ in range(9):
        run_waiting()
        assert LEAST_DELAY <= delay_of(hot_row()) < LEAST_DELAY + 5
        let_it_be_due()


@pytest.mark.django_db
@pytest.mark.parametrize("delay", [1, 7.5, 600])
def test_again__a_delay_that_is_long_enough_stays_as_it_is(delay: float) -> None:
    hot(retries=3, retry_delay=delay, retry_jitter=0)
    BackgroundTask.objects.update(attempt=8)
    run_waiting()

    assert delay - 0.1 <= delay_of(hot_row()) < delay + 5


def test_again_at__of_a_task_that_was_begun_ever_so_often() -> None:
    task = background.task()(burn).s()
    before = utcnow()

    moment = again_at(task, ValueError(), 2_000_000_000, asked=False)

    assert 0 <= (moment - before).total_seconds() - LONGEST_LEAST_DELAY < 5


# What keeps its place ------------------------------------------------------------------------


@pytest.mark.django_db
def test_place__what_was_rescued_comes_first() -> None:
    worker = ledger.register_worker(Worker(host="here", pid=1, threads=1, release="test"))
    hot()
    others(2)
    assert background.next(worker.pk).claim.name.endswith("burn")
    ledger.rescue([worker.pk], max_deaths=3)

    assert run_waiting() == ["burn", "add", "add"]


@pytest.mark.django_db
def test_place__a_task_that_enqueues_itself_goes_behind_what_waits() -> None:
    def again() -> None:
        task()

    task = background.task(name="again")(again)
    task()
    others(3)

    assert run_waiting(limit=5) == ["again", "add", "add", "add", "again"]


@pytest.mark.django_db
def test_place__within_a_key_each_begins_in_its_turn() -> None:
    hot(retries=MANY, exclusive="a key")
    background.task(exclusive="a key", name="second")(tasks.greet)("Ada")
    others(1)

    assert run_waiting() == ["burn", "second", "add"]
    let_it_be_due()
    assert run_waiting() == ["burn"]


@pytest.mark.django_db
def test_place__what_is_merged_meanwhile_runs_once() -> None:
    hot(retries=MANY, coalesce="a key")
    run_waiting()
    [kind] = [each for each in background.task_classes() if each.__name__ == "burn"]
    newer = kind(())
    newer.submission.coalesce_key = "a key"
    background.enqueue(newer)

    assert run_waiting() == ["burn"]
    states = list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))
    assert states == [State.MERGED, State.SCHEDULED]


# Immediate mode ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["error", "retry", "retry at once", "cancelled and retried"])
def test_immediate__is_bounded(
    error: str,
    immediate: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Hot, "error", ERRORS[error])
    hot(retries=MANY)

    assert Hot.calls == list(range(1, IMMEDIATE_TRIES + 1))
    if error != "error":
        assert "is not tried again: immediate mode makes at most 10 attempts." in caplog.text


def test_immediate__a_few_retries_are_made(immediate: None) -> None:
    hot(retries=3)
    assert Hot.calls == [1, 2, 3, 4]


def test_immediate__a_hook_in_the_editors_request(
    immediate: None, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.register(HOOK, burn, background=True, retries=MANY)
    for function in hooks.get_hooks(HOOK):
        assert function(RequestFactory().get("/"), None) is None

    assert len(Hot.calls) == IMMEDIATE_TRIES
    assert "RecursionError" not in caplog.text


def test_immediate__the_result_tells_the_error(immediate: None) -> None:
    result = background.task(retries=MANY)(burn)()
    with pytest.raises(Exception, match="no luck"):
        result.get()


def test_immediate__of_a_task_within_a_task_each_has_its_own(immediate: None) -> None:
    inner = background.task(name="inner", retries=1)(burn)

    def outer() -> None:
        with pytest.raises(Exception, match="no luck"):
            inner().get()
        raise ValueError("no luck")

    background.task(name="outer", retries=1)(outer)()
    assert Hot.calls == [1, 2, 1, 2]


# In a worker ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_worker__others_run_beside_a_task_that_fails_on_and_on(
    backend: dict[str, str], start: Callable[..., Process]
) -> None:
    for _ in range(3):
        tasks.fail.schedule(delay=0, retries=MANY)
    others(100)
    succeeded = BackgroundTask.objects.filter(state=State.SUCCEEDED)
    start("wagtail_worker", "--threads", "1", **backend)
    wait_until(lambda: succeeded.count() == 100, "all others have run")

    failing = BackgroundTask.objects.filter(name__contains="fail")
    wait_until(lambda: not failing.filter(attempt__lt=2).exists(), "they are tried again")
    elapsed = max(each.started_at - each.enqueued_at for each in failing).total_seconds()
    assert not failing.filter(attempt__gt=2 + elapsed).exists()
