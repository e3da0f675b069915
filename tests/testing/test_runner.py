"""Running what waits inside a test: order, errors, the test's transaction, time that passes."""

from __future__ import annotations

import datetime
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tests.site.blog.models import Advert
from tests.work import tasks
from wagtail_async_hooks import background_task
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.testing import BackgroundTaskFailed, run_background_tasks, runner
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db


def test_run__returns_what_ran_in_its_order() -> None:
    tasks.add(1, 2)
    tasks.add(3, 4, priority=5)

    ran = run_background_tasks()

    assert [task.result for task in ran] == [7, 3]
    assert {(t.function, t.hook, t.state, t.error) for t in ran} == {
        ("tests.work.tasks.add", "", State.SUCCEEDED, "")
    }
    assert run_background_tasks() == []


def test_run__what_is_recorded_meanwhile(task_of: Any) -> None:
    def pass_on(depth: int) -> None:
        if depth:
            wrapper(depth - 1)

    wrapper = task_of(pass_on)
    wrapper(2)

    assert len(run_background_tasks()) == 3


def test_run__a_task_that_deletes_its_own_row(task_of: Any) -> None:
    def tidy() -> None:
        BackgroundTask.objects.filter(pk=background_task.pk).delete()

    task_of(tidy)()

    assert run_background_tasks() == []


def test_run__an_endless_chain_has_an_end(task_of: Any) -> None:
    def forever() -> None:
        wrapper()

    wrapper = task_of(forever)
    wrapper()

    with pytest.raises(RuntimeError, match="5 attempts at background tasks were made"):
        run_background_tasks(limit=5)
    assert not BackgroundTask.objects.filter(state=State.RUNNING).exists()


def test_run__as_many_as_the_limit() -> None:
    tasks.add(1, 2)

    assert len(run_background_tasks(limit=1)) == 1


def test_run__a_failure_has_the_tasks_own_error_as_its_cause() -> None:
    tasks.fail("no luck")
    tasks.add(1, 2)

    with pytest.raises(BackgroundTaskFailed, match=r"tests\.work\.tasks\.fail: no luck") as caught:
        run_background_tasks()

    cause = caught.value.__cause__
    assert type(cause) is ValueError
    frames = pytest.ExceptionInfo.from_exception(cause).traceback
    assert frames[-1].name == "fail"
    assert [task.state for task in caught.value.ran] == [State.FAILED, State.SUCCEEDED]
    assert caught.value.ran[0].exception is cause


def test_run__several_failures_are_all_told() -> None:
    tasks.fail("first")
    tasks.fail("second")

    with pytest.raises(BackgroundTaskFailed, match="2 of 2 background tasks failed") as caught:
        run_background_tasks()

    assert str(caught.value.__cause__) == "first"
    [note] = caught.value.__notes__
    assert "ValueError: second" in note
    assert "raise ValueError(text)" in note


def test_run__a_failure_without_an_error_at_hand_has_its_text() -> None:
    tasks.add(1, 2)
    BackgroundTask.objects.update(message=b"not ours")

    with pytest.raises(BackgroundTaskFailed) as caught:
        run_background_tasks()

    assert caught.value.__cause__ is None
    assert "MessageRefused" in caught.value.__notes__[0]


def test_run__failures_can_be_looked_at() -> None:
    tasks.fail("no luck")

    [failed] = run_background_tasks(raise_errors=False)

    assert (failed.state, failed.error, failed.result) == (State.FAILED, "no luck", None)
    assert "ValueError: no luck" in failed.traceback
    assert isinstance(failed.exception, ValueError)


def test_run__an_error_that_a_later_attempt_makes_good_is_none(task_of: Any) -> None:
    def twice() -> int:
        if background_task.attempt == 1:
            raise ValueError("not yet")
        return 2

    task_of(twice, retries=1)()

    [done] = run_background_tasks()
    assert (done.result, done.attempt, done.exception) == (2, 2, None)


def test_run__an_attempt_to_be_repeated_later_is_a_failure_until_then(task_of: Any) -> None:
    def twice() -> int:
        if background_task.attempt == 1:
            raise ValueError("not yet")
        return 2

    task_of(twice, retries=1, retry_delay=600, retry_jitter=0)()

    with pytest.raises(BackgroundTaskFailed, match="not yet"):
        run_background_tasks()
    assert run_background_tasks() == []
    runner.advance(601)
    assert [task.result for task in run_background_tasks()] == [2]


def test_run__not_what_is_due_later_unless_asked() -> None:
    tasks.add.schedule((1, 2), delay=3600)

    assert run_background_tasks() == []
    assert [task.result for task in run_background_tasks(scheduled=True)] == [3]


def test_advance__what_is_due_by_then() -> None:
    tasks.add.schedule((1, 2), delay=3600)
    tasks.add.schedule((3, 4), delay=7200)

    runner.advance(3601)

    assert [task.result for task in run_background_tasks()] == [3]
    left = BackgroundTask.objects.get(state=State.SCHEDULED)
    assert left.run_at - timezone.now() < datetime.timedelta(seconds=3600)


def test_advance__what_has_expired_by_then() -> None:
    tasks.add(1, 2, expires=60)

    runner.advance(61)

    assert [task.state for task in run_background_tasks()] == [State.EXPIRED]


def test_run__an_error_of_the_database_leaves_the_test_its_transaction(task_of: Any) -> None:
    def save_twice() -> None:
        Advert.objects.create(pk=77, text="one")
        Advert.objects.bulk_create([Advert(pk=77, text="two")])

    task_of(save_twice)()

    with pytest.raises(BackgroundTaskFailed) as caught:
        run_background_tasks()

    assert isinstance(caught.value.__cause__, IntegrityError)
    assert not Advert.objects.filter(pk=78).exists()  # the transaction goes on


def test_run__an_error_of_the_database_that_a_task_copes_with(task_of: Any) -> None:
    def save_twice() -> int:
        Advert.objects.create(pk=77, text="one")
        with suppress(IntegrityError):
            Advert.objects.bulk_create([Advert(pk=77, text="two")])
        return 1

    task_of(save_twice)()

    assert [task.result for task in run_background_tasks()] == [1]
    assert Advert.objects.filter(pk=78).count() == 0  # the transaction goes on


def test_run__what_a_task_has_written_before_its_error_stays(task_of: Any) -> None:
    def save_and_fail() -> None:
        Advert.objects.create(pk=77, text="one")
        raise ValueError("no luck")

    task_of(save_and_fail)()
    run_background_tasks(raise_errors=False)

    assert Advert.objects.filter(pk=77).exists()


def test_run__what_a_task_leaves_to_the_commit(task_of: Any) -> None:
    done = []

    def later() -> None:
        transaction.on_commit(lambda: done.append("committed"))

    task_of(later)()
    transaction.on_commit(lambda: done.append("of the test"))
    run_background_tasks()

    assert done == ["committed"]


def test_run__needs_no_redis(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "redis", "BACKEND_OPTIONS": {"url": "redis://0.0.0.0:1"}}
    tasks.add(1, 2)

    assert [task.result for task in run_background_tasks()] == [3]
    assert settings.WAGTAIL_TASKS["BACKEND"] == "redis"


def test_run__in_immediate_mode_there_is_nothing_to_run(immediate: None) -> None:
    tasks.add(1, 2)

    with pytest.raises(ConfigurationError, match=r'\["BACKEND"\] is blank, so .* have run already'):
        run_background_tasks()
