"""Tests of what people do to recorded tasks: cancel them, and run them again."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db.models import CASCADE
from django.utils import timezone

from tests.draining import run_all
from tests.work import tasks
from wagtail_async_hooks import background, ledger, signals
from wagtail_async_hooks.models import BackgroundTask, Notice, TaskAttempt, TaskItem, Worker
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db


def keys() -> list[int]:
    """Return the primary keys of all tasks."""
    return list(BackgroundTask.objects.order_by("pk").values_list("pk", flat=True))


def states() -> list[str]:
    """Return the states of all tasks, oldest first."""
    return list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))


# Run now ------------------------------------------------------------------------------------


def test_run_now__what_is_scheduled() -> None:
    tasks.add.schedule((1, 2), delay=3600)
    tasks.add(3, 4)
    run_all()
    assert states() == [State.SCHEDULED, State.SUCCEEDED]

    assert control.run_now(keys()) == 1

    run_all()
    assert states() == [State.SUCCEEDED, State.SUCCEEDED]


def test_run_now__with_the_time_that_somebody_named() -> None:
    tasks.add.schedule((1, 2), eta=timezone.now() + datetime.timedelta(days=1))
    assert control.run_now(BackgroundTask.objects.all()) == 1
    run_all()
    assert states() == [State.SUCCEEDED]


def test_run_now__what_waits_for_another_attempt(task_of: Any) -> None:
    @task_of
    def fail() -> None:
        raise ValueError("no luck")

    background.enqueue(type(fail.s())(retries=1, retry_delay=3600))
    run_all()
    assert states() == [State.SCHEDULED]

    assert control.run_now(keys()) == 1

    run_all()
    assert states() == [State.FAILED]


def test_run_now__of_many_costs_a_message_of_each_and_little_more(
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(30):
        tasks.add.schedule((number, 1), delay=3600)

    with django_assert_max_num_queries(30 + 8):
        assert control.run_now(keys()) == 30

    assert states() == [State.WAITING] * 30


def test_run_now__what_another_process_has_cancelled_meanwhile() -> None:
    tasks.add.schedule((1, 2), delay=3600)
    tasks.add.schedule((3, 4), delay=3600)
    scheduled = dict.fromkeys(keys(), (0, None))
    control.cancel(keys()[:1])

    assert ledger.hasten(scheduled) == {keys()[1]}

    assert states() == [State.CANCELLED, State.WAITING]


# Cancel -------------------------------------------------------------------------------------


def test_cancel__what_waits_and_what_is_scheduled() -> None:
    tasks.add(1, 2)
    tasks.add.schedule((1, 2), delay=60)

    assert control.cancel(keys(), "nobody needs it") == 2

    run_all()
    assert states() == [State.CANCELLED, State.CANCELLED]
    row = BackgroundTask.objects.first()
    assert row is not None
    assert (row.error, row.attempt) == ("nobody needs it", 0)
    assert row.finished_at is not None


def test_cancel__only_what_is_named() -> None:
    tasks.add(1, 2)
    tasks.add(3, 4)

    assert control.cancel(keys()[:1]) == 1

    assert states() == [State.CANCELLED, State.WAITING]


def test_cancel__what_has_ended_stays() -> None:
    tasks.add(1, 2)
    run_all()

    assert control.cancel(keys()) == 0

    assert states() == [State.SUCCEEDED]


def test_cancel__is_announced() -> None:
    announced = []

    def listen(sender: str, *, task: Any, error: str, **told: Any) -> None:
        announced.append((sender, task.pk, error))

    tasks.add(1, 2)
    with signals.cancelled.connected_to(listen):
        control.cancel(keys())

    assert announced == [("tests.work.tasks.add", keys()[0], "it was cancelled")]


def test_cancel__of_a_running_task_holds_when_its_worker_dies() -> None:
    tasks.add(1, 2)
    worker = Worker.objects.create(
        host="a",
        pid=1,
        threads=1,
        release="1",
        started_at=timezone.now(),
        heartbeat_at=timezone.now(),
    )
    _, claim = ledger.step(None, worker.pk)
    assert claim is not None
    assert control.cancel(keys()) == 1
    ledger.rescue([worker.pk], 3)
    assert states() == [State.WAITING]

    run_all()

    assert states() == [State.CANCELLED]
    assert BackgroundTask.objects.get().error == "it was cancelled"


# Run again ----------------------------------------------------------------------------------


def test_retry__what_failed() -> None:
    tasks.fail()
    run_all()

    assert control.retry(keys()) == 1

    assert states() == [State.WAITING]
    run_all()
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.error) == (State.FAILED, 2, "no luck")


def test_retry__what_was_cancelled_runs_then() -> None:
    result = tasks.add(1, 2)
    control.cancel(keys())

    assert control.retry(keys()) == 1

    run_all()
    assert states() == [State.SUCCEEDED]
    assert result.get() == 3
    assert BackgroundTask.objects.get().error == ""


def test_retry__what_expired_does_not_expire_again() -> None:
    background.enqueue(tasks.add.s(1, 2, expires=datetime.timedelta(hours=1)))
    task = background.next()
    assert task is not None
    background.execute(task, datetime.datetime(2100, 1, 1))
    assert states() == [State.EXPIRED]

    assert control.retry(keys()) == 1

    run_all()
    assert states() == [State.SUCCEEDED]


def test_retry__neither_what_waits_nor_what_succeeded() -> None:
    tasks.add(1, 2)
    run_all()
    tasks.add(3, 4)

    assert control.retry(keys()) == 0

    assert states() == [State.SUCCEEDED, State.WAITING]


def test_retry__a_message_that_cannot_be_read_fails_again() -> None:
    tasks.add(1, 2)
    BackgroundTask.objects.update(message=b"garbage")
    run_all()

    assert control.retry(keys()) == 1

    run_all()
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt) == (State.FAILED, 2)


def test_retry__forgets_how_many_workers_died() -> None:
    tasks.add(1, 2)
    BackgroundTask.objects.update(state=State.FAILED, deaths=3)

    control.retry(keys())

    assert BackgroundTask.objects.get().deaths == 0


# Select -------------------------------------------------------------------------------------


def test_select__everything() -> None:
    tasks.add(1, 2)
    tasks.fail()
    assert sorted(control.select().values_list("pk", flat=True)) == keys()


def test_select__all_that_is_given_applies() -> None:
    tasks.add(1, 2)
    tasks.fail()
    tasks.fail()
    first, failed, waiting = keys()
    BackgroundTask.objects.filter(pk__in=[first, failed]).update(
        state=State.FAILED, finished_at=timezone.now(), hook="after_edit_page", queue="slow"
    )
    BackgroundTask.objects.filter(pk=first).update(
        enqueued_at=timezone.now() - datetime.timedelta(hours=2)
    )

    def found(**given: Any) -> list[int]:
        return sorted(control.select(**given).values_list("pk", flat=True))

    assert found(function="tests.work.tasks.fail") == [failed, waiting]
    assert found(state="failed") == [first, failed]
    assert found(state=["failed", "waiting"]) == [first, failed, waiting]
    assert found(hook="after_edit_page", function="tests.work.tasks.fail") == [failed]
    assert found(queue="slow", older_than=datetime.timedelta(hours=1)) == [first]


def test_select__no_such_state() -> None:
    with pytest.raises(ValueError, match="faild"):
        control.select(state="faild")


# Discard ------------------------------------------------------------------------------------


def test_discard__but_not_what_runs() -> None:
    for number in range(4):
        tasks.add(number, 1)
    first, second, third, fourth = keys()
    BackgroundTask.objects.filter(pk=first).update(state=State.RUNNING)
    BackgroundTask.objects.filter(pk=second).update(state=State.FAILED)
    BackgroundTask.objects.filter(pk=third).update(state=State.SCHEDULED)

    assert control.discard([first, second, third]) == 2

    assert keys() == [first, fourth]


def test_discard__what_had_not_ended_is_announced_as_cancelled() -> None:
    announced = []

    def listen(sender: str, *, task: Any, error: str, **told: Any) -> None:
        announced.append((task.pk, error))

    tasks.add(1, 2)
    tasks.add(3, 4)
    waiting, ended = keys()
    BackgroundTask.objects.filter(pk=ended).update(state=State.FAILED)
    with signals.cancelled.connected_to(listen):
        assert control.discard(control.select()) == 2

    assert announced == [(waiting, "it was discarded")]


def test_discard__takes_along_what_belongs_to_a_task(django_user_model: Any) -> None:
    tasks.add(1, 2)
    [key] = keys()
    user = django_user_model.objects.create(username="ada")
    Notice.objects.create(task_id=key, user=user)
    TaskItem.objects.create(task_id=key, key="1", state="failed", ended_at=timezone.now())
    # Another table whose rows go with a task has to be known to ledger.delete() as well.
    belonging = [r for r in BackgroundTask._meta.related_objects if r.on_delete is CASCADE]
    assert {relation.related_model for relation in belonging} == {Notice, TaskItem, TaskAttempt}

    assert control.discard([key]) == 1

    assert not Notice.objects.exists()
    assert not TaskItem.objects.exists()


def test_discard__takes_the_attempts_along() -> None:
    tasks.fail()
    run_all()
    control.retry(keys())
    run_all()
    assert TaskAttempt.objects.count() == 1

    assert control.discard(keys()) == 1

    assert not TaskAttempt.objects.exists()


# Many ---------------------------------------------------------------------------------------


def test_many__are_done_in_batches(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(ledger, "BATCH", 10)
    for number in range(25):
        tasks.add(number, 1)
    BackgroundTask.objects.filter(pk=keys()[0]).update(state=State.RUNNING)

    assert control.cancel(control.select(state="waiting")) == 24
    with django_assert_max_num_queries(200):
        assert control.retry(control.select()) == 24
    assert control.cancel(keys()) == 25
    assert control.discard(control.select()) == 24

    assert states() == [State.RUNNING]


def test_many__what_comes_meanwhile_is_not_meant() -> None:
    def record_another(sender: str, **told: Any) -> None:
        tasks.add(3, 4)

    tasks.add(1, 2)
    with signals.cancelled.connected_to(record_another):
        assert control.cancel(control.select()) == 1

    assert states() == [State.CANCELLED, State.WAITING]
