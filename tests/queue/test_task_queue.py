"""The task queue: Huey's public API on it, and how tasks that cannot be run are kept."""

from __future__ import annotations

import datetime
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import messages
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.safestring import mark_safe
from huey.api import chord, group
from huey.exceptions import CancelExecution, ResultTimeout, TaskException

from tests.work import tasks
from wagtail_async_hooks import background, ledger, signals
from wagtail_async_hooks.exceptions import CannotSerialize, MessageRefused
from wagtail_async_hooks.models import BackgroundTask, StoredValue
from wagtail_async_hooks.queue.claims import UNKNOWN_TASK_DELAYS
from wagtail_async_hooks.serialization import arguments, codecs, editor_messages, requests
from wagtail_async_hooks.serialization.arguments import CarriedRequest
from wagtail_async_hooks.storage import notifier
from wagtail_async_hooks.types import State


def run_all() -> list[Any]:
    """Run what waits, in this process; return what each returned."""
    values = []
    while (task := background.dequeue()) is not None:
        values.append(background.execute(task))
    return values


# Enqueue ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_call__records_a_row_and_its_result() -> None:
    result = tasks.add(2, 3)
    row = BackgroundTask.objects.get()
    assert (row.task_id, row.state, row.priority) == (result.id, State.WAITING, 0)
    assert row.name == row.function == "tests.work.tasks.add"
    assert run_all() == [5]
    assert result.get() == 5
    row.refresh_from_db()
    assert (row.state, row.attempt) == (State.SUCCEEDED, 1)
    assert row.enqueued_at <= row.started_at <= row.finished_at


@pytest.mark.django_db
def test_call__takes_one_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        tasks.add(1, 2)


def test_call__rolled_back_never_existed(committed_db: None) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012  # both are the point
        tasks.add(1, 2)
        raise RuntimeError
    assert not BackgroundTask.objects.exists()
    assert background.dequeue() is None


@pytest.mark.django_db
def test_call__what_cannot_be_carried_is_refused() -> None:
    with pytest.raises(CannotSerialize, match=r"\['args'\]\[0\]\['a'\]: builtins.object cannot"):
        tasks.show({"a": object()})
    assert not BackgroundTask.objects.exists()


@pytest.mark.django_db
def test_coroutine__runs_to_its_end() -> None:
    tasks.add_slowly(1, 2)
    assert run_all() == [3]


@pytest.mark.django_db
def test_schedule__waits_for_its_time() -> None:
    tasks.add.schedule((1, 2), delay=60)
    row = BackgroundTask.objects.get()
    assert row.state == State.SCHEDULED
    assert 50 < (row.run_at - timezone.now()).total_seconds() <= 60
    assert run_all() == []
    BackgroundTask.objects.update(run_at=timezone.now())
    assert background.read_schedule() == []
    assert run_all() == [3]


@pytest.mark.django_db
def test_introspection__counts_and_lists_what_waits() -> None:
    tasks.add(1, 2)
    tasks.add.schedule((3, 4), delay=60)
    assert len(background) == background.pending_count() == background.scheduled_count() == 1
    assert [task.args for task in background.pending()] == [(1, 2)]
    assert [task.args for task in background.scheduled()] == [(3, 4)]


# Many at once -------------------------------------------------------------------------------


def inserts(queries: Any) -> int:
    """Return how many statements have inserted rows."""
    return sum("INSERT INTO" in query["sql"] for query in queries)


AROUND_INSERTS = 4 if connection.vendor == "postgresql" else 2
"""Statements around the INSERTs of many tasks: a savepoint, and how long to wait for a lock."""


@pytest.mark.django_db
def test_enqueue_many__records_all_with_few_statements() -> None:
    # SQLite takes no more than so many values in one statement, depending on Django's version.
    fields = len(BackgroundTask._meta.concrete_fields)
    limit = connection.features.max_query_params or 10**6
    at_once = min(500, limit // fields) if connection.vendor == "sqlite" else 500
    with CaptureQueriesContext(connection) as queries:
        results = background.enqueue_many(tasks.add.s(n, n) for n in range(500))
    assert inserts(queries) <= -(-500 // at_once)
    asked = connection.vendor == "mysql"  # how much it takes at once
    assert len(queries) == inserts(queries) + AROUND_INSERTS + asked
    ids = BackgroundTask.objects.order_by("pk").values_list("task_id", flat=True)
    assert list(ids) == [result.id for result in results]
    assert run_all() == [2 * n for n in range(500)]
    assert results[3].get() == 6


@pytest.mark.django_db
def test_enqueue_many__keeps_order_options_and_signals() -> None:
    told = []
    with signals.enqueued.connected_to(lambda sender, task: told.append(task.pk)):
        background.enqueue_many([tasks.add.s(1, 1), tasks.add.s(2, 2, priority=5, delay=60)])
    first, second = BackgroundTask.objects.order_by("pk")
    assert told == [first.pk, second.pk]
    assert (first.state, first.priority) == (State.WAITING, 0)
    assert (second.state, second.priority) == (State.SCHEDULED, 5)


@pytest.mark.django_db
def test_enqueue_many__groups_chords_and_pipelines_are_recorded_at_once_too() -> None:
    pair = [tasks.add.s(1, 1), tasks.add.s(2, 2)]
    for call in (
        lambda: background.enqueue_many([group(pair), tasks.add.s(3, 3).then(tasks.add, 1)]),
        lambda: background.enqueue(group(pair)),
        lambda: background.enqueue(chord(pair, tasks.total.s())),
        lambda: tasks.add.map([(1, 1), (2, 2)]),
    ):
        with CaptureQueriesContext(connection) as queries:
            call()
        asks = not connection.features.can_return_columns_from_insert  # for the keys: MySQL
        assert (inserts(queries), len(queries)) == (1, 1 + asks)
    run_all()
    assert not BackgroundTask.objects.exclude(state=State.SUCCEEDED).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        (tasks.add.s(object()), CannotSerialize, "object cannot"),
        (tasks.add, TypeError, r"takes tasks such as my_task\.s\(1, 2\), but <.*> is none"),
    ],
)
def test_enqueue_many__all_or_none(wrong: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        background.enqueue_many([tasks.add.s(1, 1), wrong])
    assert not BackgroundTask.objects.exists()
    tasks.add(1, 2)  # by itself again
    assert BackgroundTask.objects.count() == 1


@pytest.mark.django_db
def test_enqueue_many__of_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert background.enqueue_many([]) == []


@pytest.mark.django_db
def test_enqueue_many__long_messages_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wagtail_async_hooks.ledger.tasks.BATCH_SIZE", 5000)
    with CaptureQueriesContext(connection) as queries:
        background.enqueue_many(tasks.show.s("x" * 2000) for _ in range(6))
    assert inserts(queries) == 3


@pytest.mark.django_db
def test_enqueue_many__where_the_database_does_not_return_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = connection.features
    monkeypatch.setattr(type(features), "can_return_rows_from_bulk_insert", False, raising=False)
    told = []
    with signals.enqueued.connected_to(lambda sender, task: told.append((task.pk, task.task_id))):
        background.enqueue_many([tasks.add.s(1, 1), tasks.add.s(2, 2)])
    assert told == list(BackgroundTask.objects.order_by("pk").values_list("pk", "task_id"))


def test_enqueue_many__what_does_not_ring_is_found(
    committed_db: None, backend: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "MAX_NOTIFICATIONS", 3)
    background.enqueue_many(tasks.add.s(n, 0, priority=n) for n in range(10))
    assert sorted(run_all()) == list(range(10))
    assert background.dequeue() is None


@pytest.mark.usefixtures("immediate")
def test_enqueue_many__in_immediate_mode() -> None:
    results = background.enqueue_many([tasks.add.s(1, 1), tasks.add.s(2, 2)])
    assert [result.get() for result in results] == [2, 4]


def test_enqueue_many__is_part_of_the_transaction(committed_db: None) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012  # both are the point
        background.enqueue_many([tasks.add.s(1, 2)])
        raise RuntimeError
    assert not BackgroundTask.objects.exists()


# Claim and finish ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_next__records_the_last_outcome_with_the_next_claim(
    django_assert_num_queries: Any,
) -> None:
    tasks.add(1, 2)
    tasks.add(3, 4)
    background.attempt(background.next())
    assert not BackgroundTask.objects.filter(state=State.SUCCEEDED).exists()
    # One statement; on MySQL and MariaDB a transaction, which is a savepoint here.
    with django_assert_num_queries(_STEP_QUERIES[_vendor()]):
        task = background.next()
    assert task.args == (3, 4)
    background.attempt(task)
    background.settle()
    assert BackgroundTask.objects.filter(state=State.SUCCEEDED).count() == 2


_STEP_QUERIES = {"sqlite": 1, "postgresql": 1, "mysql": 5}


@pytest.mark.django_db
def test_next__the_last_one_was_given_to_another_worker() -> None:
    tasks.add(1, 2)
    tasks.add(3, 4)
    background.attempt(background.next())
    first = BackgroundTask.objects.order_by("pk")[:1]
    BackgroundTask.objects.filter(pk=first[0].pk).update(attempt=2)

    task = background.next()

    assert task.args == (3, 4)
    background.execute(task)
    assert (first[0].state, first[0].attempt, first[0].result) == (State.RUNNING, 2, None)


@pytest.mark.skipif(not connection.features.has_select_for_update, reason="one writer at a time")
def test_next__one_that_another_worker_has_just_claimed(committed_db: None) -> None:
    tasks.add(1, 2)
    tasks.add(3, 4)
    background.attempt(background.next())
    outcome = background.claims.pending
    background.claims.pending = None
    taken = BackgroundTask.objects.get(state=State.WAITING).pk

    def record_and_claim() -> tuple[bool, Any]:
        try:
            return ledger.step(outcome, None)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        BackgroundTask.objects.filter(pk=taken).update(state=State.RUNNING, attempt=1)
        # The row that is locked is passed over, and not waited for.
        assert threads.submit(record_and_claim).result(60) == (True, None)

    assert BackgroundTask.objects.get(pk=taken).attempt == 1


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_next__what_is_to_run_again_at_once_is_found() -> None:
    tasks.fail.schedule(delay=0, retries=1)
    background.read_schedule()
    background.attempt(background.next())

    task = background.next()

    assert task.claim.attempt == 2


@pytest.mark.django_db
def test_next__nothing_waits() -> None:
    tasks.add(1, 2)
    background.attempt(background.next())

    assert background.next() is None

    assert BackgroundTask.objects.get().state == State.SUCCEEDED


def _vendor() -> str:
    from django.db import connection

    return connection.vendor


@pytest.mark.django_db
def test_outcome__of_an_attempt_that_was_given_away_does_not_count() -> None:
    tasks.add(1, 2)
    task = background.next()
    BackgroundTask.objects.update(state=State.WAITING)  # given up for dead, and rescued
    successor = background.next()
    background.attempt(task)
    background.settle()
    assert BackgroundTask.objects.get().state == State.RUNNING
    background.execute(successor)
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt) == (State.SUCCEEDED, 2)


@pytest.mark.django_db
def test_next__runs_one_at_a_time_of_those_that_a_worker_died_of() -> None:
    for number in range(4):
        tasks.add(number, 0)
    keys = list(BackgroundTask.objects.order_by("pk").values_list("pk", flat=True))
    BackgroundTask.objects.filter(pk__in=keys[:2]).update(deaths=1)

    suspect = background.next()
    assert [suspect.claim.pk, background.next().claim.pk, background.next().claim.pk] == [
        keys[0],
        *keys[2:],
    ]
    assert background.next() is None, "the other suspect waits for the first"
    background.execute(suspect)
    other = background.next()
    assert other.claim.pk == keys[1]
    background.execute(other)


@pytest.mark.django_db
def test_holds__until_the_outcome_is_recorded() -> None:
    tasks.add(1, 2)
    task = background.next()
    held = (task.claim.pk, task.claim.attempt)
    assert background.claims.holds(*held)
    background.attempt(task)
    assert background.claims.holds(*held)
    background.settle()
    assert not background.claims.holds(*held)


@pytest.mark.django_db
def test_unknown_task__waits_for_a_worker_that_knows_it(task_of: Any) -> None:
    def of_the_next_release() -> str:
        return "done"

    task = task_of(of_the_next_release)
    result = task()
    task.unregister()
    for tries, delay in enumerate(UNKNOWN_TASK_DELAYS, start=1):
        assert background.dequeue() is None
        row = BackgroundTask.objects.get()
        assert (row.state, row.attempt) == (State.SCHEDULED, tries)
        assert delay - 5 < (row.run_at - timezone.now()).total_seconds() <= delay
        BackgroundTask.objects.update(state=State.WAITING)
    again = task_of(of_the_next_release)
    assert again.task_class.__name__ == "of_the_next_release"
    assert run_all() == ["done"]
    assert result.get() == "done"


@pytest.mark.django_db
def test_unknown_task__fails_in_the_end(task_of: Any) -> None:
    task = task_of(lambda: None, name="gone")
    task()
    task.unregister()
    for _ in UNKNOWN_TASK_DELAYS:
        assert background.dequeue() is None
        BackgroundTask.objects.update(state=State.WAITING)
    assert background.dequeue() is None
    row = BackgroundTask.objects.get()
    assert row.state == State.FAILED
    assert "gone not found in TaskRegistry" in row.error


@pytest.mark.django_db
@pytest.mark.parametrize("message", [b"", b"\x80\x04pickled", b'{"v":1}:forged', b"x" * 1_000_000])
def test_unreadable_message__fails_and_the_next_one_runs(message: bytes) -> None:
    tasks.add(1, 1)
    tasks.add(2, 2)
    BackgroundTask.objects.filter(pk=BackgroundTask.objects.first().pk).update(message=message)
    assert run_all() == [4]
    failed = BackgroundTask.objects.order_by("pk").first()
    assert (failed.state, failed.error_type) == (
        State.FAILED,
        "wagtail_async_hooks.exceptions.MessageRefused",
    )


# The row ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Letter:
    """A value of the site's, which has a subject in another sense than the ledger's."""

    subject: str


@pytest.mark.django_db
def test_call__a_subject_that_is_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in ("_by_kind", "_by_type"):
        monkeypatch.setattr(codecs, registry, dict(getattr(codecs, registry)))
    arguments.register(Letter, encode=lambda letter: letter.subject, decode=Letter, name="a.letter")

    tasks.show(Letter("ab"))

    row = BackgroundTask.objects.get()
    assert (row.subject_type, row.subject_id) == (None, "")


@pytest.mark.django_db
@pytest.mark.parametrize("forget", [True, False])
def test_arguments__are_forgotten_if_the_task_says_so(task_of: Any, forget: bool) -> None:
    def whisper(word: str) -> None:
        if word == "loud":
            raise ValueError

    task = task_of(whisper, forget_arguments=forget)
    task("swordfish")
    task("loud")
    run_all()

    succeeded, failed = BackgroundTask.objects.order_by("pk")
    assert (succeeded.state, failed.state) == (State.SUCCEEDED, State.FAILED)
    assert (b"swordfish" in bytes(succeeded.message)) is not forget
    assert b"loud" in bytes(failed.message)
    remembered = background.deserialize_task(bytes(succeeded.message))
    assert (remembered.id, remembered.name) == (succeeded.task_id, "whisper")


# Errors and retries -------------------------------------------------------------------------


@pytest.mark.django_db
def test_error__is_kept_and_raised_by_the_result() -> None:
    result = tasks.fail("no paint")
    run_all()
    row = BackgroundTask.objects.get()
    assert (row.state, row.error, row.error_type) == (
        State.FAILED,
        "no paint",
        "builtins.ValueError",
    )
    with pytest.raises(TaskException, match="no paint"):
        result.get()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "stored"), [("no\0paint", "no\\x00paint"), ("no \ud800 paint", "no \\ud800 paint")]
)
def test_error__that_no_database_takes_as_it_is(text: str, stored: str) -> None:
    tasks.fail(text)
    run_all()
    row = BackgroundTask.objects.get()
    assert (row.state, row.error) == (State.FAILED, stored)


@pytest.mark.django_db
def test_error__of_any_length_is_recorded(task_of: Any) -> None:
    def fail() -> None:
        raise ValueError(f"begin {'x' * 20_000_000} end")

    task_of(fail)()
    run_all()
    row = BackgroundTask.objects.get()
    assert row.state == State.FAILED
    assert re.fullmatch(r"begin x{994} … \(19998010 characters\) … x{996} end", row.error)
    assert row.traceback.startswith("Traceback (most recent call last)")
    assert row.traceback.endswith("x end\n")
    assert len(row.traceback) < 2**17


@pytest.mark.django_db
def test_error__before_the_function_is_called_is_recorded() -> None:
    tasks.add(1, 2)
    row = BackgroundTask.objects.get()
    task = background.deserialize_task(bytes(row.message))
    task.kwargs = {5: "no name"}
    BackgroundTask.objects.update(message=background.serialize_task(task))
    run_all()
    row.refresh_from_db()
    assert (row.state, row.error_type) == (State.FAILED, "builtins.TypeError")
    assert "keywords must be strings" in row.error
    assert "Traceback" in row.traceback


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_retry__runs_again_under_the_same_row(tmp_path: Any) -> None:
    result = tasks.fail_twice(str(tmp_path / "trace"))
    run_all()
    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.error, row.traceback) == (State.SUCCEEDED, 3, "", "")
    assert result.get() == "at last"


@pytest.mark.django_db
def test_retry__with_a_delay_and_backoff_is_scheduled(task_of: Any) -> None:
    def stumble() -> None:
        raise ValueError("not yet")

    task_of(stumble, retries=2, retry_delay=10, retry_backoff=3)()
    for delay in (10, 30):
        run_all()
        row = BackgroundTask.objects.get()
        assert (row.state, row.error) == (State.SCHEDULED, "not yet")
        assert delay - 5 < (row.run_at - timezone.now()).total_seconds() <= delay * 1.1
        BackgroundTask.objects.update(state=State.WAITING, run_at=timezone.now())
        BackgroundTask.objects.update(message=_due(row))
    run_all()
    assert BackgroundTask.objects.get().state == State.FAILED


def _due(row: BackgroundTask) -> bytes:
    """Return a row's message with its time in the past."""
    task = background.deserialize_task(bytes(row.message))
    task.eta = datetime.datetime(2000, 1, 1)
    return background.serialize_task(task)


@pytest.mark.django_db
def test_sys_exit__fails_the_task_and_not_the_worker() -> None:
    tasks.leave()
    run_all()
    row = BackgroundTask.objects.get()
    assert (row.state, row.error, row.error_type) == (
        State.FAILED,
        "goodbye",
        "builtins.SystemExit",
    )


@pytest.mark.django_db
def test_cancel_execution__cancels(task_of: Any) -> None:
    def change_of_mind() -> None:
        raise CancelExecution("not needed any more")

    result = task_of(change_of_mind)()
    run_all()
    row = BackgroundTask.objects.get()
    assert (row.state, row.error) == (State.CANCELLED, "not needed any more")
    with pytest.raises(TaskException, match="not needed any more"):
        result.get()


@pytest.mark.django_db
def test_revoke__keeps_a_task_from_running() -> None:
    result = tasks.add(1, 2)
    result.revoke()
    assert result.is_revoked()
    assert run_all() == [None]
    assert BackgroundTask.objects.get().state == State.CANCELLED


@pytest.mark.django_db
def test_restore__lets_a_revoked_task_run() -> None:
    result = tasks.add(1, 2)
    result.revoke()
    assert result.restore()
    assert run_all() == [3]


@pytest.mark.django_db
def test_revoke__all_tasks_of_a_function() -> None:
    tasks.add.revoke()
    tasks.add(1, 2)
    assert run_all() == [None]
    tasks.add.restore()
    tasks.add(1, 2)
    assert run_all() == [3]


@pytest.mark.django_db
def test_expires__a_task_that_comes_too_late_does_not_run() -> None:
    tasks.add.schedule((1, 2), delay=0, expires=datetime.datetime(2000, 1, 1))
    assert run_all() == [None]
    assert BackgroundTask.objects.get().state == State.EXPIRED


# Results, pipelines, groups, chords, locks --------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("value", [None, 0, "text", [1, {"a": (1, 2)}], datetime.date(2026, 1, 2)])
def test_result__any_value_can_be_read_more_than_once(task_of: Any, value: Any) -> None:
    def give() -> Any:
        return value

    result = task_of(give)()
    assert not result.is_ready()
    run_all()
    assert result.is_ready()
    assert background.result(result.id) == background.result(result.id) == value


@pytest.mark.django_db
def test_result__that_cannot_be_kept_does_not_fail_the_task(task_of: Any, caplog: Any) -> None:
    def give() -> Any:
        return object()

    task_of(give)()
    run_all()
    assert BackgroundTask.objects.get().state == State.SUCCEEDED
    assert "is not kept: builtins.object cannot be carried" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize("forged", [b"\x80\x04K\x03.", b'{"v":1,"d":4}:forged', b""])
def test_result__that_was_forged_is_refused(forged: bytes) -> None:
    result = tasks.add(1, 2)
    run_all()
    BackgroundTask.objects.update(result=forged)
    with pytest.raises(MessageRefused, match="was altered"):
        result.get()


@pytest.mark.django_db
def test_result__a_wait_ends() -> None:
    with pytest.raises(ResultTimeout):
        tasks.add(1, 2).get(blocking=True, timeout=0.05)


@pytest.mark.django_db
def test_pipeline__what_follows_is_recorded_with_the_outcome() -> None:
    results = background.enqueue(tasks.add.s(1, 2).then(tasks.add, 10).then(tasks.add, 100))
    assert run_all() == [3, 13, 113]
    assert results.get() == [3, 13, 113]


@pytest.mark.django_db
def test_pipeline__of_an_attempt_that_was_given_away_does_not_go_on() -> None:
    background.enqueue(tasks.add.s(1, 2).then(tasks.add, 10))
    task = background.next()
    BackgroundTask.objects.update(state=State.WAITING)
    successor = background.next()
    background.execute(task)
    assert BackgroundTask.objects.count() == 1
    background.execute(successor)
    assert run_all() == [13]


@pytest.mark.django_db
def test_pipeline__that_cannot_be_recorded_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the database goes away between the function's end and the record of what follows."""
    results = background.enqueue(tasks.add.s(1, 2).then(tasks.add, 10))
    task = background.next()
    with monkeypatch.context() as broken:
        broken.setattr(background.storage, "enqueue", _lose_the_connection)
        background.execute(task)
    row = BackgroundTask.objects.get()
    assert (row.state, row.error) == (State.WAITING, "the connection is lost")
    assert run_all() == [3, 13]
    assert results.get() == [3, 13]


def _lose_the_connection(*args: Any) -> None:
    raise OperationalError("the connection is lost")


@pytest.mark.django_db
def test_on_error__gets_the_exception() -> None:
    background.enqueue(tasks.fail.s("no paint").error(tasks.show))
    shown = run_all()[-1]
    assert shown == "ValueError: no paint"


@pytest.mark.django_db
def test_group_and_chord__give_all_results() -> None:
    some = group([tasks.add.s(1, 1), tasks.add.s(2, 2)])
    assert len(background.enqueue(some)) == 2
    run_all()
    result = background.enqueue(chord([tasks.add.s(n, n) for n in range(4)], tasks.total.s()))
    run_all()
    assert result.get() == 12
    assert result.results.get() == [0, 2, 4, 6]


@pytest.mark.django_db
def test_lock__a_held_lock_fails_the_task(task_of: Any) -> None:
    locked = background.lock_task("press")

    @locked
    def print_page() -> str:
        return "printed"

    task = task_of(print_page)
    with locked:
        task()
        run_all()
    task()
    assert run_all() == ["printed"]
    states = list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))
    assert states == [State.FAILED, State.SUCCEEDED]
    assert not StoredValue.objects.exists()


# Messages to the editor ---------------------------------------------------------------------


def tell_the_editor(task_of: Any, *told: tuple[Any, str]) -> list[dict[str, Any]]:
    """Have a task tell something to the editor, with tags; return what is kept."""

    def tell() -> None:
        request = CarriedRequest(requests.encode_request(HttpRequest()))
        for text, tags in told:
            messages.success(request, text, tags)

    task_of(tell)()
    run_all()
    row = BackgroundTask.objects.get()
    assert row.state == State.SUCCEEDED
    kept: list[dict[str, Any]] = row.messages
    return kept


@pytest.mark.django_db
def test_messages__that_no_database_takes_as_they_are(task_of: Any) -> None:
    [kept] = tell_the_editor(task_of, ("a NUL \0, a \ud800", "ta\0g \ud800"))
    assert (kept["text"], kept["tags"]) == ("a NUL \\x00, a \\ud800", "ta\\x00g \\ud800")


@pytest.mark.django_db
def test_messages__of_any_length_are_kept(task_of: Any) -> None:
    whole, cut = tell_the_editor(
        task_of, (mark_safe("<b>Hi</b>"), "x"), (mark_safe("<b>" * 10_000_000), "y" * 20_000_000)
    )
    assert (whole["text"], whole["safe"]) == ("<b>Hi</b>", True)
    assert (len(cut["text"]) < 2100, len(cut["tags"]) < 2100) == (True, True)
    assert not cut["safe"], "half a tag is not safe"


@pytest.mark.django_db
def test_messages__in_any_number_are_kept(task_of: Any) -> None:
    kept = tell_the_editor(task_of, *((str(number), "") for number in range(500)))
    assert [message["text"] for message in kept] == [
        *(str(number) for number in range(editor_messages.MAX_MESSAGES)),
        "Further messages are left out.",
    ]


# Immediate mode -----------------------------------------------------------------------------


def test_immediate__runs_at_once_without_a_database(immediate: None) -> None:
    assert tasks.add(1, 2).get() == 3


def test_immediate__delays_and_retries_run_at_once(immediate: None, tmp_path: Any) -> None:
    assert tasks.add.schedule((1, 2), delay=3600).get() == 3
    assert tasks.fail_twice(str(tmp_path / "trace")).get() == "at last"


def test_immediate__arguments_make_the_round_trip(immediate: None) -> None:
    given = {"when": datetime.date(2026, 1, 2), "what": (1, 2)}
    assert tasks.show(given).get() == f"dict: {given}"
    with pytest.raises(CannotSerialize):
        tasks.show(object())


def test_immediate__errors_are_logged(immediate: None, caplog: Any) -> None:
    tasks.fail("no paint")
    assert "Unhandled exception in task" in caplog.text


def test_settings__a_change_is_noticed() -> None:
    assert not background.immediate
    with override_settings(WAGTAIL_TASKS={"BACKEND": ""}):
        assert background.immediate
    assert not background.immediate


# Signals ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_signals__each_step_is_announced(tmp_path: Any) -> None:
    heard: list[tuple[str, str]] = []
    receivers = {
        name: (lambda sender, name=name, **arguments: heard.append((name, sender)))
        for name in ("enqueued", "started", "succeeded", "failed", "retrying")
    }
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    tasks.fail_twice(str(tmp_path / "trace"))
    run_all()
    assert [name for name, _ in heard] == [
        *("enqueued", "started", "retrying", "started", "retrying", "started", "succeeded")
    ]
    assert {sender for _, sender in heard} == {"tests.work.tasks.fail_twice"}
