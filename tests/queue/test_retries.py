"""Tests of what follows from an error: another attempt, the end, or a call at a later time."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import RequestFactory
from django.utils import timezone
from huey.exceptions import RetryTask, TaskTimeout
from wagtail.signals import page_published

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import Snooze, background, hooks, receiver, signals
from wagtail_async_hooks.exceptions import TimedOut
from wagtail_async_hooks.models import BackgroundTask, TaskAttempt
from wagtail_async_hooks.queue.retries import JITTER, classes, problems_of
from wagtail_async_hooks.types import State

HOOK = "after_create_page"


class Stumbling:
    """What the functions below raise, one after the other."""

    errors: ClassVar[list[BaseException]] = []
    calls: ClassVar[int] = 0
    is_stuck: ClassVar[bool] = False

    @classmethod
    def step(cls) -> None:
        """Raise the next one, if any is left."""
        cls.calls += 1
        while cls.is_stuck:
            pass
        if cls.errors:
            raise cls.errors.pop(0)


def stumble(*args: Any, **kwargs: Any) -> None:
    """Raise what a test wants."""
    Stumbling.step()


async def stumble_later(*args: Any, **kwargs: Any) -> None:
    """Raise what a test wants, in a coroutine."""
    if Stumbling.is_stuck:
        await asyncio.sleep(60)
    Stumbling.step()


@pytest.fixture(autouse=True)
def raising() -> Callable[..., None]:
    """Say what the functions above raise."""

    def set_errors(*errors: BaseException) -> None:
        Stumbling.errors[:] = errors

    Stumbling.calls = 0
    set_errors()
    return set_errors


@pytest.fixture(params=["task", "coroutine", "hook", "receiver", "settings"])
def call(
    request: pytest.FixtureRequest, registries: None, settings: Any
) -> Iterator[Callable[..., None]]:
    """Record a task with some options, in each of the ways in which these are given."""

    def record(**options: Any) -> None:
        _record(request.param, options, settings)

    yield record
    page_published.disconnect(dispatch_uid=(f"{__name__}.stumble", "page_published"))


def _record(how: str, options: dict[str, Any], settings: Any) -> None:
    if how in ("task", "coroutine"):
        function = stumble if how == "task" else stumble_later
        background.task(**options)(function)()
    elif how == "receiver":
        receiver(page_published, background=True, **options)(stumble)
        page_published.send(sender=None)
    else:
        code = options if how == "hook" else {}
        if how == "settings":
            path = f"{__name__}.stumble"
            settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {path: options}}
        hooks.register(HOOK, stumble, background=True, **code)
        request = RequestFactory().get("/")
        for function in hooks.get_hooks(HOOK):
            function(request, None)


def run_all() -> BackgroundTask:
    """Run what waits, and what waits for later; return the only task."""
    for _ in range(20):
        while (task := background.next()) is not None:
            background.execute(task)
        BackgroundTask.objects.filter(state=State.SCHEDULED).update(run_at=timezone.now())
        background.read_schedule()
        if not BackgroundTask.objects.filter(state=State.WAITING).exists():
            break
    return BackgroundTask.objects.get(name__contains="stumble")


def errors() -> list[str]:
    """Return what is kept of earlier attempts."""
    return list(TaskAttempt.objects.order_by("pk").values_list("error", flat=True))


# Which errors -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_retry_on__other_errors_end_it(call: Any, raising: Any) -> None:
    raising(ConnectionError("away"), ValueError("wrong"))
    call(retries=5, retry_on=(ConnectionError,))
    row = run_all()
    assert (row.state, row.attempt, row.error) == (State.FAILED, 2, "wrong")
    assert errors() == ["away"]


@pytest.mark.django_db
def test_retry_on__those_are_tried_again(call: Any, raising: Any) -> None:
    raising(ConnectionResetError("one"), TimeoutError("two"))
    call(retries=5, retry_on=["ConnectionError", "builtins.TimeoutError"])
    row = run_all()
    assert (row.state, row.attempt, row.error) == (State.SUCCEEDED, 3, "")
    assert errors() == ["one", "two"]


@pytest.mark.django_db
def test_retry_on__what_a_function_asks_for_is_no_error(call: Any, raising: Any) -> None:
    raising(RetryTask(delay=0))
    call(retry_on=ConnectionError)
    assert (run_all().state, Stumbling.calls) == (State.SUCCEEDED, 2)


@pytest.mark.django_db
def test_discard_on__ends_it_as_cancelled(call: Any, raising: Any) -> None:
    raising(LookupError("gone"))
    call(retries=5, discard_on="LookupError")
    row = run_all()
    assert (row.state, row.attempt, row.error) == (State.CANCELLED, 1, "gone")
    assert row.error_type == "builtins.LookupError"
    assert "Stumbling.step()" in row.traceback


@pytest.mark.django_db
def test_discard_on__is_stronger_than_retry_on(call: Any, raising: Any) -> None:
    raising(KeyError("gone"))
    call(retries=5, discard_on=(KeyError,), retry_on=(LookupError,))
    assert run_all().state == State.CANCELLED


@pytest.mark.django_db
def test_discard_on__is_announced_as_cancelled(raising: Any, registries: None) -> None:
    told = []

    def hear(sender: str, error: str, **arguments: Any) -> None:
        told.append(error)

    signals.cancelled.connect(hear)
    raising(ValueError("gone"))
    background.task(discard_on=ValueError)(stumble)()
    run_all()
    assert told == ["gone"]


@pytest.mark.django_db
def test_retry_on__a_timeout_is_a_timeout_error(raising: Any, registries: None) -> None:
    raising(TimedOut(5), TimedOut(5))
    background.task(retries=1, retry_on=TimeoutError)(stumble)()
    row = run_all()
    assert (row.state, row.attempt) == (State.FAILED, 2)
    assert row.error == "it took longer than its timeout of 5 s"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.django_db
def test_timeout__counts_as_a_failure(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stumbling, "is_stuck", True)
    call(timeout=0.05, retries=1)
    row = run_all()
    assert (row.state, row.attempt) == (State.FAILED, 2)
    assert row.error == "it took longer than its timeout of 0.05 s"
    assert errors() == [row.error]


@pytest.mark.django_db
def test_classes__what_cannot_be_imported_counts_as_not_given(
    raising: Any, registries: None, caplog: pytest.LogCaptureFixture
) -> None:
    raising(ValueError("wrong"))
    background.task(retries=1, discard_on=["shop.Gone", "ValueError"])(stumble)()
    assert run_all().state == State.CANCELLED
    assert (
        "Of an option retry_on, discard_on or explain, 'shop.Gone' cannot be imported"
        in caplog.text
    )


def test_classes__of_one_or_of_several() -> None:
    assert classes(ValueError) == (ValueError,)
    assert classes("huey.exceptions.TaskTimeout") == (TaskTimeout,)
    assert classes([ValueError, "builtins.KeyError"]) == (ValueError, KeyError)


def test_problems_of__says_what_is_wrong() -> None:
    assert problems_of(None) == problems_of(ValueError) == []
    assert problems_of(["int"]) == ["'int' is no class of exceptions"]
    [problem] = problems_of("shop.errors.Gone")
    assert problem.startswith("'shop.errors.Gone' cannot be imported: No module named")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"retry_on": int}, "retry_on=… should be a class of exceptions, its dotted path, or"),
        ({"discard_on": []}, "discard_on=… should be a class of exceptions, its dotted path, or"),
        ({"retry_jitter": 2}, "retry_jitter=… should be a number from 0 to 1, but is 2."),
    ],
)
def test_task__options_of_a_wrong_type(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(
        TypeError, match=rf"^background\.task\(…\) of {__name__}\.stumble: "
    ) as error:
        background.task(**options)(stumble)
    assert expected in str(error.value)


# When ---------------------------------------------------------------------------------------


def _delay() -> float:
    row = BackgroundTask.objects.get()
    assert row.state == State.SCHEDULED
    return float((row.run_at - row.started_at).total_seconds())


@pytest.mark.django_db
@pytest.mark.parametrize("jitter", [None, 0.5, 0])
def test_jitter__lengthens_the_delay(
    jitter: float | None, call: Any, raising: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)
    raising(ValueError("wrong"))
    call(retries=1, retry_delay=1000, retry_jitter=jitter)
    task = background.next()
    background.execute(task)
    longest = 1000 * (1 + (JITTER if jitter is None else jitter))
    assert longest - 10 <= _delay() < longest + 60


@pytest.mark.django_db
def test_jitter__not_where_the_function_says_when(
    raising: Any, registries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)
    raising(RetryTask(delay=1000))
    background.task()(stumble)()
    background.execute(background.next())
    assert 1000 <= _delay() < 1060


# Snooze -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_snooze__is_called_again_and_nothing_is_counted(call: Any, raising: Any) -> None:
    raising(Snooze(3600), Snooze(0), ValueError("wrong"), Snooze(1.5))
    call(retries=1)
    background.execute(background.next())
    assert 3600 <= _delay() < 3660
    row = run_all()
    assert (row.state, row.error, row.snoozes) == (State.SUCCEEDED, "", 3)
    assert (row.attempt, Stumbling.calls) == (5, 5)
    assert errors() == ["wrong"]


@pytest.mark.django_db
def test_snooze__leaves_the_retries_as_they_are(call: Any, raising: Any) -> None:
    raising(*[Snooze(0)] * 5, ValueError("one"), Snooze(0), ValueError("two"))
    call(retries=1)
    row = run_all()
    assert (row.state, row.error, row.snoozes) == (State.FAILED, "two", 6)


@pytest.mark.django_db
def test_snooze__is_announced(raising: Any, registries: None) -> None:
    told: list[str] = []
    moments: list[datetime.datetime] = []

    def hear(sender: str, **arguments: Any) -> None:
        told.append("retrying")

    def hear_snooze(sender: str, run_at: datetime.datetime, **arguments: Any) -> None:
        moments.append(run_at)
        assert sorted(arguments) == ["duration", "task"]

    signals.retrying.connect(hear)
    signals.snoozed.connect(hear_snooze)
    raising(Snooze(0))
    background.task()(stumble)()
    run_all()
    assert (told, len(moments)) == ([], 1)


@pytest.mark.django_db
def test_snooze__an_outage_is_still_survived(raising: Any, registries: None) -> None:
    """However often it was put off before: what counts are the attempts that were not."""
    raising(*[Snooze(0)] * 5, OperationalError("gone"))
    background.task()(stumble)()
    with mock.patch("wagtail_async_hooks.queue.attempt.is_any_lost", return_value=True):
        row = run_all()
    assert (row.state, row.attempt) == (State.SUCCEEDED, 7)


@pytest.mark.parametrize("seconds", [-1, float("inf"), "5", None, True])
def test_snooze__of_what_is_no_time(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"^Snooze\(…\) takes a number of seconds of at least 0"):
        Snooze(seconds)


def test_snooze__immediate_mode_says_that_it_cannot(
    immediate: None, raising: Any, registries: None, caplog: pytest.LogCaptureFixture
) -> None:
    raising(*[Snooze(60)] * 3)
    background.task(retries=2)(stumble)()
    assert Stumbling.calls == 1
    assert "it asked to be called again in 60 s, which immediate mode cannot do" in caplog.text


def test_snooze__a_synchronous_hook_says_that_it_cannot(
    registries: None, settings: Any, raising: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [HOOK]
    raising(Snooze(60))
    _record("hook", {}, settings)
    assert Stumbling.calls == 1
    assert "it asked to be called again in 60 s, which the request cannot do" in caplog.text


@pytest.mark.slow
def test_snooze__in_a_worker(
    backend: dict[str, str], start: Callable[..., Process], trace_file: Any
) -> None:
    tasks.snooze_twice(str(trace_file))
    start("wagtail_worker", **backend)
    wait_until(
        lambda: BackgroundTask.objects.filter(state=State.SUCCEEDED, snoozes=2, attempt=3).exists(),
        "it is called a third time",
    )
    assert not TaskAttempt.objects.exists()
