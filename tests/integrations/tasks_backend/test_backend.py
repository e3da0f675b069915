"""Tests of the backend for ``TASKS``: the same cases with ``django_tasks`` and ``django.tasks``."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from tests.draining import run_all
from tests.integrations.tasks_backend.conftest import BACKEND
from tests.processes import Process, wait_until
from wagtail_async_hooks import background, ledger, signals
from wagtail_async_hooks.integrations.tasks_backend import WagtailTasksBackend
from wagtail_async_hooks.integrations.tasks_backend.apis import APIS, Api
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.queue.claims import UNKNOWN_TASK_DELAYS
from wagtail_async_hooks.types import State


def row() -> BackgroundTask:
    """Return the only task."""
    return BackgroundTask.objects.get()


@contextmanager
def heard(api: Api) -> Iterator[list[tuple[str, str, str]]]:
    """Return what the API's own signals say meanwhile: signal, id and status."""
    said: list[tuple[str, str, str]] = []
    receivers = {}
    for name in ("task_enqueued", "task_started", "task_finished"):

        def receive(sender: Any, task_result: Any, name: str = name, **kwargs: Any) -> None:
            assert sender is WagtailTasksBackend
            said.append((name, task_result.id, task_result.status.name))

        receivers[name] = receive
        getattr(api.signals, name).connect(receive)
    try:
        yield said
    finally:
        for name, receive in receivers.items():
            getattr(api.signals, name).disconnect(receive)


# The backend --------------------------------------------------------------------------------


def test_backend__is_one_of_the_api(api: Api, tasks: ModuleType) -> None:
    backend = tasks.add.get_backend()

    assert type(backend) is WagtailTasksBackend
    assert isinstance(backend, api.backend)
    assert backend.task_class is api.base.Task
    assert type(tasks.add) is api.base.Task


def test_backend__says_what_it_can(api: Api, tasks: ModuleType) -> None:
    backend = tasks.add.get_backend()

    assert backend.supports_defer is True
    assert backend.supports_async_task is True
    assert backend.supports_get_result is True
    assert backend.supports_priority is True


def test_backend__says_what_it_cannot_in_immediate_mode(
    api: Api, tasks: ModuleType, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}
    backend = tasks.add.get_backend()

    assert backend.supports_defer is False
    assert backend.supports_get_result is False
    with pytest.raises(api.invalid_task):
        tasks.add.using(run_after=timezone.now())
    with pytest.raises(NotImplementedError):
        backend.get_result("x")


# Enqueue ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_enqueue__records_a_row(api: Api, tasks: ModuleType) -> None:
    result = tasks.add.enqueue(1, b=2)

    assert (result.status.name, result.args, result.kwargs) == ("READY", [1], {"b": 2})
    assert (result.is_finished, result.attempts, result.backend) == (False, 0, "default")
    assert row().task_id == result.id
    assert row().state == State.WAITING
    assert row().name == row().function == f"{tasks.__name__}.add"
    with pytest.raises(ValueError, match="not finished"):
        result.return_value  # noqa: B018


@pytest.mark.django_db
def test_enqueue__takes_one_query(
    api: Api, tasks: ModuleType, django_assert_num_queries: Any
) -> None:
    tasks.add.enqueue(1)  # the first one has a savepoint around it

    with django_assert_num_queries(1):
        tasks.add.enqueue(1)


def test_enqueue__rolled_back_never_existed(
    api: Api, tasks: ModuleType, committed_db: None
) -> None:
    with transaction.atomic():
        tasks.add.enqueue(1)
        transaction.set_rollback(True)

    assert not BackgroundTask.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("argument", [{1}, object(), datetime.date(2026, 1, 1)], ids=type)
def test_enqueue__only_json(api: Api, tasks: ModuleType, argument: Any) -> None:
    with pytest.raises(TypeError):
        tasks.add.enqueue(argument)

    assert not BackgroundTask.objects.exists()


@pytest.mark.django_db
def test_enqueue__tuples_and_bytes_become_json(api: Api, tasks: ModuleType) -> None:
    result = tasks.add.enqueue((1, 2), b=b"text")

    assert (result.args, result.kwargs) == ([[1, 2]], {"b": "text"})


@pytest.mark.django_db
def test_enqueue__from_a_coroutine(api: Api, tasks: ModuleType) -> None:
    result = async_to_sync(tasks.add.aenqueue)(1, 2)
    run_all()

    assert async_to_sync(tasks.add.aget_result)(result.id).return_value == 3


@pytest.mark.django_db
def test_enqueue__using_priority_queue_and_time(api: Api, tasks: ModuleType) -> None:
    later = timezone.now() + datetime.timedelta(hours=1)

    result = tasks.add.using(
        priority=50, queue_name="slow", run_after=later, backend="second"
    ).enqueue(1)

    assert (row().priority, row().queue, row().state) == (50, "slow", State.SCHEDULED)
    assert row().run_at == later
    found = tasks.add.get_result(result.id)
    assert (found.task.priority, found.task.queue_name, found.task.run_after) == (50, "slow", later)
    assert (found.backend, found.task.backend) == ("second", "second")


@pytest.mark.django_db
def test_enqueue__the_settings_overrule_the_code(
    api: Api, tasks: ModuleType, settings: Any
) -> None:
    path = f"{tasks.__name__}.add"
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {path: {"priority": 7, "delay": 60, "coalesce": "{a}", "exclusive": "x {b}"}},
    }

    tasks.add.enqueue(1, b=2)

    assert (row().priority, row().state) == (7, State.SCHEDULED)
    assert (row().coalesce_key, row().exclusive_key) == ("1", "x 2")


@pytest.mark.django_db
def test_enqueue__debounced_by_the_settings(
    api: Api, tasks: ModuleType, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"{tasks.__name__}.add"
    options: dict[str, Any] = {"debounce": 60, "coalesce": "{a}"}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {path: options}}

    tasks.add.enqueue(1, b=2)
    assert (row().coalesce_key, row().state) == ("1", State.SCHEDULED)
    assert row().latest_at is not None

    BackgroundTask.objects.all().delete()
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {path: {"debounce": 60}}}
    tasks.add.enqueue(1, b=2)
    assert row().state == State.WAITING
    assert f"debounce= of {path} needs coalesce= as well" in caplog.text


@pytest.mark.django_db
def test_enqueue__where_it_cannot_be_recorded_it_runs_at_once(
    api: Api, tasks: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(row: BackgroundTask) -> None:
        raise RuntimeError("no table")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "insert", refuse)
        result = tasks.add.enqueue(1, 2)

    assert (result.status.name, result.return_value) == ("SUCCESSFUL", 3)
    assert "could not be recorded as a background task, so it runs at once" in caplog.text


@pytest.mark.django_db
def test_enqueue__in_immediate_mode_it_runs_at_once(
    api: Api, tasks: ModuleType, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    result = tasks.add.enqueue(1, 2)
    failed = tasks.fail.enqueue()

    assert (result.status.name, result.return_value) == ("SUCCESSFUL", 3)
    assert (failed.status.name, failed.errors[0].exception_class) == ("FAILED", ValueError)
    assert not BackgroundTask.objects.exists()


@pytest.mark.django_db
def test_enqueue__what_the_site_keeps_synchronous_runs_at_once(
    api: Api, tasks: ModuleType, settings: Any
) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [f"{tasks.__name__}.add"]

    result = tasks.add.enqueue(1, 2)

    assert (result.status.name, result.return_value) == ("SUCCESSFUL", 3)
    assert not BackgroundTask.objects.exists()


# What is refused ----------------------------------------------------------------------------


def test_validate__a_queue_that_is_not_named(api: Api, tasks: ModuleType) -> None:
    with pytest.raises(api.invalid_task, match="Queue 'slow' is not valid"):
        tasks.add.using(queue_name="slow")


def test_validate__a_queue_whose_name_is_too_long(
    api: Api, tasks: ModuleType, settings: Any
) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKEND, "QUEUES": ["q" * 64, "q" * 65]}}

    tasks.add.using(queue_name="q" * BackgroundTask._meta.get_field("queue").max_length)
    with pytest.raises(api.invalid_task, match="a name of 1 to 64 printable characters"):
        tasks.add.using(queue_name="q" * 65)


@pytest.mark.parametrize("priority", [-101, 101, 1.5])
def test_validate__priorities(api: Api, tasks: ModuleType, priority: Any) -> None:
    with pytest.raises(api.invalid_task, match="priority"):
        tasks.add.using(priority=priority)


def test_validate__a_naive_time(api: Api, tasks: ModuleType) -> None:
    with pytest.raises(api.invalid_task, match="aware"):
        tasks.add.using(run_after=datetime.datetime(2030, 1, 1))


def test_validate__functions_inside_others(api: Api) -> None:
    from importlib import import_module

    def inner() -> None:
        """Do nothing."""

    with pytest.raises(api.invalid_task, match="module level"):
        import_module(f"{api.name}").task()(inner)


# Results ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_result__of_one_that_succeeded(api: Api, tasks: ModuleType) -> None:
    result = tasks.add.enqueue(1, 2)
    run_all()

    result.refresh()

    assert (result.status.name, result.return_value) == ("SUCCESSFUL", 3)
    assert (result.is_finished, result.attempts, result.errors) == (True, 1, [])
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at
    assert tasks.add.get_result(result.id) == result


@pytest.mark.django_db
def test_result__of_one_that_failed(api: Api, tasks: ModuleType) -> None:
    result = tasks.fail.enqueue("oh no")
    run_all()

    found = tasks.fail.get_result(result.id)

    [error] = found.errors
    assert (found.status.name, error.exception_class) == ("FAILED", ValueError)
    assert "ValueError: oh no" in error.traceback
    assert row().state == State.FAILED
    with pytest.raises(ValueError, match="failed"):
        found.return_value  # noqa: B018


@pytest.mark.django_db
def test_result__what_is_not_json_is_a_failure(api: Api, tasks: ModuleType) -> None:
    result = tasks.return_a_set.enqueue()
    run_all()

    assert tasks.return_a_set.get_result(result.id).errors[0].exception_class is TypeError


@pytest.mark.django_db
def test_result__with_the_worker_that_ran_it(api: Api, tasks: ModuleType) -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        host="a", pid=1, threads=1, release="1", started_at=now, heartbeat_at=now
    )
    result = tasks.add.enqueue(1)
    background.execute(background.next(worker.pk))

    assert tasks.add.get_result(result.id).worker_ids == [str(worker.pk)]


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_result__of_one_that_was_tried_again(api: Api, tasks: ModuleType, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {f"{tasks.__name__}.fail": {"retries": 1}},
    }
    result = tasks.fail.enqueue()

    background.execute(background.next())
    waiting = tasks.fail.get_result(result.id)
    run_all()

    found = tasks.fail.get_result(result.id)
    assert (waiting.status.name, waiting.attempts, len(waiting.errors)) == ("READY", 1, 1)
    assert (found.status.name, found.attempts, len(found.errors)) == ("FAILED", 2, 2)
    assert found.started_at < found.last_attempted_at


@pytest.mark.django_db
def test_result__of_one_that_was_cancelled(api: Api, tasks: ModuleType) -> None:
    result = tasks.add.enqueue(1)
    control.cancel([row().pk])

    found = tasks.add.get_result(result.id)

    assert (found.status.name, found.attempts) == ("FAILED", 0)
    assert issubclass(found.errors[0].exception_class, Exception)
    assert found.errors[0].traceback == "it was cancelled"


@pytest.mark.django_db
def test_result__of_one_that_was_merged_is_that_of_the_other(
    api: Api, tasks: ModuleType, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {f"{tasks.__name__}.add": {"coalesce": "all"}},
    }
    merged, newest = tasks.add.enqueue(1), tasks.add.enqueue(10)
    run_all()

    assert tasks.add.get_result(newest.id).return_value == 11
    found = tasks.add.get_result(merged.id)
    assert (found.id, found.status.name, found.return_value) == (merged.id, "SUCCESSFUL", 11)


@pytest.mark.django_db
def test_result__of_no_such_task(api: Api, tasks: ModuleType) -> None:
    from tests.work import tasks as others

    other = others.add(1, 2)  # it is recorded, but none of TASKS

    for result_id in ("123", other.id):
        with pytest.raises(api.does_not_exist):
            tasks.add.get_result(result_id)


@pytest.mark.django_db
def test_result__of_another_task(api: Api, tasks: ModuleType) -> None:
    result = tasks.add.enqueue(1)

    with pytest.raises(Exception, match="does not match"):
        tasks.fail.get_result(result.id)


# Run ----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_run__with_its_context(api: Api, tasks: ModuleType) -> None:
    result = tasks.see_context.enqueue(word="x")
    run_all()

    value = tasks.see_context.get_result(result.id).return_value
    assert value == ["x", 1, "RUNNING", result.id, [], {"word": "x"}]


@pytest.mark.django_db
def test_run__a_coroutine(api: Api, tasks: ModuleType) -> None:
    result = tasks.add_slowly.enqueue(1, 2)
    run_all()

    assert tasks.add_slowly.get_result(result.id).return_value == 3
    assert row().priority == 10


@pytest.mark.django_db
def test_run__knows_the_background_task(api: Api, tasks: ModuleType, trace_file: Path) -> None:
    tasks.report.enqueue(str(trace_file))
    run_all()

    assert trace_file.read_text() == "1\n"
    assert (row().progress_done, row().progress_note) == (1, "half")


@pytest.mark.django_db
def test_run__a_task_of_another_release_is_tried_again(
    api: Api, tasks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tasks.add.enqueue(1)
    with monkeypatch.context() as patch:
        patch.delattr(tasks, "add")
        run_all()

    assert row().state == State.SCHEDULED
    assert f"{tasks.__name__}.add is no task of {api.name} in this process" in row().error
    delay = row().run_at - timezone.now()
    assert 0 < delay.total_seconds() <= UNKNOWN_TASK_DELAYS[0]
    BackgroundTask.objects.update(state=State.WAITING)
    run_all()
    assert tasks.add.get_result(result.id).return_value == 2


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["os.system", "tests.work.tasks.add", "nowhere.at.all", "add"])
def test_run__what_is_no_task_is_not_called(api: Api, tasks: ModuleType, path: str) -> None:
    tasks.add.enqueue("touch")
    task = background.deserialize_task(bytes(row().message))
    task.kwargs["path"] = path
    message = background.serialize_task(task)
    BackgroundTask.objects.update(message=bytes(message))

    run_all()

    assert f"{path} is no task of" in row().error


@pytest.mark.django_db
def test_run__its_name_is_the_sender_of_our_signals(api: Api, tasks: ModuleType) -> None:
    announced = []

    def listen(sender: str, **kwargs: Any) -> None:
        announced.append(sender)

    with signals.succeeded.connected_to(listen, sender=f"{tasks.__name__}.add"):
        tasks.add.enqueue(1)
        run_all()

    assert announced == [f"{tasks.__name__}.add"]


# The API's own signals ----------------------------------------------------------------------


@pytest.mark.django_db
def test_signals__of_success(api: Api, tasks: ModuleType) -> None:
    with heard(api) as said:
        result = tasks.add.enqueue(1)
        run_all()

    assert said == [
        ("task_enqueued", result.id, "READY"),
        ("task_started", result.id, "RUNNING"),
        ("task_finished", result.id, "SUCCESSFUL"),
    ]


@pytest.mark.django_db
def test_signals__of_failure(api: Api, tasks: ModuleType) -> None:
    with heard(api) as said:
        tasks.fail.enqueue()
        run_all()

    assert [(name, status) for name, _, status in said] == [
        ("task_enqueued", "READY"),
        ("task_started", "RUNNING"),
        ("task_finished", "FAILED"),
    ]


@pytest.mark.django_db
def test_signals__of_one_that_was_never_begun(api: Api, tasks: ModuleType) -> None:
    with heard(api) as said:
        tasks.add.enqueue(1)
        control.cancel([row().pk])

    assert [(name, status) for name, _, status in said] == [
        ("task_enqueued", "READY"),
        ("task_finished", "FAILED"),
    ]


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_signals__only_the_last_attempt_is_the_end(
    api: Api, tasks: ModuleType, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {f"{tasks.__name__}.fail": {"retries": 1}},
    }
    with heard(api) as said:
        tasks.fail.enqueue()
        run_all()

    names = [name for name, _, _ in said]
    assert names == ["task_enqueued", "task_started", "task_started", "task_finished"]


@pytest.mark.django_db
def test_signals__a_receiver_that_raises_breaks_nothing(api: Api, tasks: ModuleType) -> None:
    def broken(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("no")

    api.signals.task_started.connect(broken)
    try:
        result = tasks.add.enqueue(1)
        run_all()
    finally:
        api.signals.task_started.disconnect(broken)

    assert tasks.add.get_result(result.id).return_value == 2


# A real worker ------------------------------------------------------------------------------


@pytest.mark.slow
def test_worker__runs_the_tasks_of_both(
    start: Callable[..., Process], backend: dict[str, str], settings: Any
) -> None:
    from importlib import import_module

    from tests.integrations.tasks_backend.conftest import MODULES

    settings.TASKS = {"default": {"BACKEND": BACKEND}}
    start("wagtail_worker", **backend, TEST_TASKS=json.dumps(settings.TASKS))

    for name in APIS:
        tasks = import_module(MODULES[name])
        good, bad = tasks.add.enqueue(1, 2), tasks.fail.enqueue()
        wait_until(lambda good=good: _finished(good), "the good one ends")
        wait_until(lambda bad=bad: _finished(bad), "the bad one ends")
        assert good.return_value == 3
        assert bad.errors[0].exception_class is ValueError
        assert good.worker_ids == [str(Worker.objects.get().pk)]


def _finished(result: Any) -> bool:
    result.refresh()
    return bool(result.is_finished)


# Options of the settings --------------------------------------------------------------------


def set_options(settings: Any, task: Any, **options: Any) -> None:
    """Give a task options by its path."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {task.module_path: options}}


@pytest.mark.django_db
def test_options__timeout_of_a_coroutine_and_what_people_read(tasks: ModuleType, ours: Any) -> None:
    set_options(
        ours,
        tasks.wait_long,
        timeout=0.05,
        title="Wait for {seconds} s",
        explain={"TimeoutError": "Too slow."},
        side_effect="none",
    )
    result = tasks.wait_long.enqueue(60)
    assert (row().title, row().side_effect) == ("Wait for 60 s", "none")
    run_all()
    assert (row().state, row().explanation) == (State.FAILED, "Too slow.")
    result.refresh()
    [error] = result.errors
    assert error.exception_class_path == "wagtail_async_hooks.exceptions.TimedOut"


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "state", "attempts"),
    [
        ({"retry_on": "OSError"}, State.FAILED, 1),
        ({"retry_on": ["ValueError"]}, State.FAILED, 3),
        ({"discard_on": "ValueError"}, State.CANCELLED, 1),
    ],
)
def test_options__which_errors(
    tasks: ModuleType, ours: Any, options: dict[str, Any], state: State, attempts: int
) -> None:
    set_options(ours, tasks.fail, retries=2, **options)
    tasks.fail.enqueue()
    run_all()
    assert (row().state, row().attempt) == (state, attempts)


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_snooze__is_no_error(tasks: ModuleType, ours: Any, trace_file: Path) -> None:
    result = tasks.put_off.enqueue(str(trace_file))
    background.execute(background.next())
    result.refresh()
    assert (result.status.name, result.errors) == ("READY", [])
    run_all()
    result.refresh()
    assert (result.status.name, result.return_value, result.errors) == ("SUCCESSFUL", "done", [])
    assert (row().attempt, row().snoozes) == (2, 1)
