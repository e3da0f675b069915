"""What a function leaves behind: in its thread's surroundings, and in its connections."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction
from django.urls import clear_script_prefix, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from huey import signals as huey_signals

from tests.work import leaving_tasks
from tests.work.leaving_tasks import LEFT, LEFT_OPEN, SESSIONS, VALUE
from wagtail_async_hooks import background, signals
from wagtail_async_hooks.exceptions import TransactionLeftOpen
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import connection_guard, enqueue, retries
from wagtail_async_hooks.queue.connection_guard import Guard
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.types import State


def run_all(worker: bool = True) -> None:
    """Run what waits in a new thread, one after the other, as a worker's thread does."""

    def run() -> None:
        try:
            with retries.without_least_delay():
                while (task := background.next()) is not None:
                    connection_guard.tidy()
                    background.attempt(task)
                    connection_guard.tidy()
                background.settle()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


@pytest.fixture
def groups(committed_db: None) -> Iterator[None]:
    """No groups that tasks have made, before the test and after it."""

    def clean() -> None:
        Group.objects.filter(name__startswith="of ").delete()

    clean()
    yield
    clean()


def names() -> list[str]:
    """Return the names of the groups that tasks have made, as the rest of the site sees them."""
    return list(Group.objects.filter(name__startswith="of ").values_list("name", flat=True))


PLAIN = ["en", "UTC", "/", "None", "28", "nothing", "None"]
"""What surrounds a function where nothing was recorded."""


# Surroundings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        leaving_tasks.leave_surroundings,
        leaving_tasks.leave_surroundings_in_coroutine,
        leaving_tasks.deactivate_all,
    ],
    ids=lambda task: task.func.__name__,
)
def test_surroundings__end_with_the_task(committed_db: None, trace_file: Path, task: Any) -> None:
    task()
    result = leaving_tasks.tell_surroundings(str(trace_file))
    run_all()

    assert result.get() == PLAIN


def test_surroundings__of_receivers_and_hooks_of_huey(
    committed_db: None, trace_file: Path, task_of: Any
) -> None:
    def change(*args: Any, **kwargs: Any) -> None:
        translation.activate("de")

    background.post_execute("change")(change)
    try:
        with signals.started.connected_to(change), signals.succeeded.connected_to(change):
            results = [leaving_tasks.tell_surroundings(str(trace_file)) for _ in range(2)]
            run_all()
    finally:
        background.unregister_post_execute("change")

    assert [result.get() for result in results] == [PLAIN] * 2


@pytest.mark.django_db
def test_surroundings__are_those_of_the_record_wherever_it_runs(trace_file: Path) -> None:
    result = leaving_tasks.tell_surroundings(str(trace_file))
    with translation.override("de"), timezone.override("Asia/Tokyo"):
        while (task := background.next()) is not None:
            background.execute(task)
        assert translation.get_language() == "de"

    assert result.get()[:4] == PLAIN[:4]


@pytest.mark.django_db
def test_surroundings__prefix_and_urlconf_are_carried(trace_file: Path) -> None:
    set_script_prefix("/cms/")
    set_urlconf("tests.site.urls")
    try:
        result = leaving_tasks.tell_surroundings(str(trace_file))
    finally:
        clear_script_prefix()
        set_urlconf(None)
    while (task := background.next()) is not None:
        background.execute(task)

    assert result.get()[2] == "/cms/"
    assert result.get()[3] == "None"  # that is the site's own, as each request sets it


def test_context__an_urlconf_of_the_request_is_carried() -> None:
    set_urlconf("tests.work.urls")
    try:
        context = Context.capture()
    finally:
        set_urlconf(None)

    assert context.urlconf == "tests.work.urls"
    assert Context.from_payload(context.payload()) == context
    assert Context.capture().urlconf is None
    contextvars.copy_context().run(context.enter)


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_surroundings__of_the_request_are_not_changed() -> None:
    before = leaving_tasks.surroundings()
    leaving_tasks.leave_surroundings()

    assert leaving_tasks.surroundings() == before


def test_surroundings__what_is_run_in_the_request_changes_none(db: None) -> None:
    before = leaving_tasks.surroundings()
    enqueue.run_here("it", leaving_tasks._leave_surroundings)

    assert leaving_tasks.surroundings() == before


@pytest.mark.django_db
def test_surroundings__functions_see_what_was_bound_before(task_of: Any) -> None:
    """Such as the spans of OpenTelemetry, which are bound as the task begins."""
    seen = []

    def bind(signal: str, task: Any) -> None:
        tokens.append(VALUE.set("bound"))

    def release(signal: str, task: Any) -> None:
        VALUE.reset(tokens.pop())  # raises an error in another context
        seen.append("released")

    tokens: list[Any] = []
    background.signal(huey_signals.SIGNAL_EXECUTING)(bind)
    background.signal(huey_signals.SIGNAL_COMPLETE)(release)
    try:
        task_of(lambda: seen.append(VALUE.get()), name="look")()
        while (task := background.next()) is not None:
            background.execute(task)
    finally:
        background.disconnect_signal(bind)
        background.disconnect_signal(release)

    assert seen == ["bound", "released"]


# Transactions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LEFT_OPEN))
def test_left_open__is_rolled_back_and_the_task_fails(
    groups: None, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    failing = leaving_tasks.leave_open(name)
    raising = leaving_tasks.leave_open_and_fail(name)
    after = leaving_tasks.ask("SELECT 1")
    run_all()

    failed, raised, last = BackgroundTask.objects.order_by("pk")
    assert (failed.state, failed.attempt) == (State.FAILED, 1), failed.error
    assert failed.error_type == "wagtail_async_hooks.exceptions.TransactionLeftOpen"
    assert "left a transaction of the database" in failed.error
    assert (raised.state, raised.error) == (State.FAILED, "no luck")
    assert last.state == State.SUCCEEDED
    assert after.get() == "1"
    assert failing.id in {failed.task_id}
    assert raising.id == raised.task_id
    assert names() == []
    Group.objects.create(name="of the site")  # whose database is not locked
    assert "is rolled back" in caplog.text


def test_left_open__is_retried_as_other_errors(groups: None, task_of: Any) -> None:
    attempts: list[int] = []

    def work() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            LEFT_OPEN["begin"]()

    task_of(work, retries=5)()
    task_of(lambda: LEFT_OPEN["atomic"](), name="never", retries=5, retry_on=ValueError)()
    task_of(lambda: LEFT_OPEN["atomic"](), name="no", retries=5, discard_on=TransactionLeftOpen)()
    run_all()

    found = BackgroundTask.objects.order_by("pk").values_list("state", "attempt")
    assert list(found) == [(State.SUCCEEDED, 3), (State.FAILED, 1), (State.CANCELLED, 1)]


def test_ended__is_nobodys_error(groups: None, task_of: Any) -> None:
    def commit() -> None:
        leaving_tasks.execute("BEGIN")
        Group.objects.create(name="of a commit")
        leaving_tasks.execute("COMMIT")

    def roll_back() -> None:
        leaving_tasks.execute("BEGIN")
        leaving_tasks.execute("ROLLBACK")

    def nest() -> None:
        with transaction.atomic(), transaction.atomic():
            Group.objects.create(name="of a block")

    for function in (commit, roll_back, nest):
        task_of(function)()
    run_all()

    assert set(BackgroundTask.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
    assert sorted(names()) == ["of a block", "of a commit"]


def test_follow_ups__of_a_task_that_leaves_one_open(groups: None, task_of: Any) -> None:
    told: list[str] = []

    def hear(error: Any) -> None:
        told.append(str(error))

    background.enqueue(leaving_tasks.leave_open.s("atomic").error(task_of(hear)))
    background.enqueue(leaving_tasks.leave_open.s("begin").then(leaving_tasks.ask))
    run_all()

    assert len(told) == 1
    states = BackgroundTask.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.FAILED, State.FAILED, State.SUCCEEDED]


@pytest.mark.parametrize("moment", ["started", "succeeded", "post_execute"])
def test_left_open__by_what_is_called_around_a_task(
    groups: None, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    def leave(*args: Any, **kwargs: Any) -> None:
        leaving_tasks.execute("BEGIN")

    for _ in range(3):
        leaving_tasks.ask("SELECT 1")
    if moment == "post_execute":
        background.post_execute("leave")(leave)
        run_all()
        background.unregister_post_execute("leave")
    else:
        with getattr(signals, moment).connected_to(leave):
            run_all()

    found = BackgroundTask.objects.values_list("state", "attempt")
    if moment == "started":  # the function is called amid it
        assert {attempt for _, attempt in found} == {1}
    else:
        assert list(found) == [(State.SUCCEEDED, 1)] * 3


# Inside the editor's transaction, and his request ---------------------------------------------


@pytest.mark.parametrize("how", ["immediate", "in the request"])
@pytest.mark.parametrize("name", ["atomic", "atomic twice", "marked"])
def test_editors_transaction__is_left_as_it_was(
    groups: None, settings: Any, caplog: pytest.LogCaptureFixture, name: str, how: str
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}
    with transaction.atomic():
        Group.objects.create(name="of the editor")
        if how == "immediate":
            leaving_tasks.leave_open(name)
        else:
            enqueue.run_here("it", LEFT_OPEN[name])
        Group.objects.create(name="of the editor, too")

    assert not connection.in_atomic_block
    assert sorted(names()) == ["of the editor", "of the editor, too"]
    assert "left a transaction of the database" in caplog.text


@pytest.mark.parametrize("how", ["immediate", "in the request"])
@pytest.mark.parametrize("name", ["atomic", "begin", "no autocommit"])
def test_editors_request__has_no_transaction_afterwards(
    groups: None, settings: Any, name: str, how: str
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}
    if how == "immediate":
        leaving_tasks.leave_open(name)
    else:
        enqueue.run_here("it", LEFT_OPEN[name])
    Group.objects.create(name="of the editor")
    connections.close_all()

    assert names() == ["of the editor"]


def test_editors_request__a_transaction_of_the_sites_own_goes_on(
    groups: None, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}
    leaving_tasks.execute("BEGIN")
    Group.objects.create(name="of the site")
    leaving_tasks.ask("SELECT 1")
    leaving_tasks.execute("COMMIT")

    assert names() == ["of the site"]


# Other things that are left in a connection ---------------------------------------------------


@pytest.mark.parametrize("name", sorted(LEFT))
def test_left__is_put_back(groups: None, name: str) -> None:
    results = [leaving_tasks.leave_connection(name), leaving_tasks.ask("SELECT 1")]
    run_all()

    states = BackgroundTask.objects.order_by("pk").values_list("state", "attempt")
    assert list(states) == [(State.SUCCEEDED, 1)] * 2
    assert [result.get() for result in results] == ["done", "1"]
    for kept in leaving_tasks.kept:
        kept.close()
    leaving_tasks.kept.clear()


def test_debug__does_not_go_on(groups: None, task_of: Any) -> None:
    leaving_tasks.leave_connection("debug")
    result = task_of(
        lambda: [connection.force_debug_cursor, len(connection.queries_log)], name="q"
    )()
    run_all()

    assert result.get() == [False, 0]


@pytest.mark.parametrize("number", range(10))
def test_session__that_was_changed_is_replaced(groups: None, number: int) -> None:
    changes = SESSIONS[connection.vendor]
    if number >= len(changes):
        pytest.skip("there are fewer on this database")
    change, question, answer = changes[number]
    first, second = leaving_tasks.leave_session(change), leaving_tasks.ask(question)
    run_all()

    assert (first.get(), second.get()) == ("done", answer)


@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL search_path TO nowhere",
        "SET STATEMENT lock_wait_timeout = 1 FOR INSERT INTO x VALUES (1)",
        "SET TRANSACTION READ ONLY",
        "set constraints all immediate",
        "SELECT 1",
        "UPDATE x SET y = 1",
        "INSERT INTO get_lock VALUES (1)",
        "PRAGMA table_info(x)",
        "PRAGMA main.table_info(x)",
        "SAVEPOINT s",
        "RELEASE SAVEPOINT s",
        "ROLLBACK TO SAVEPOINT s",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "CREATE TABLE x (y int)",
        "EXPLAIN SELECT 1",
        "VALUES (1)",
        "",
    ],
)
def test_watch__what_changes_no_session(statement: str) -> None:
    guard = Guard(sessions=True)
    guard._watch(lambda *args: None, statement, None, False, {"connection": connections["default"]})

    assert not guard._changed
    assert not guard._begun


@pytest.mark.parametrize(
    "statement",
    [
        "SET x = 1",
        "  set session x = 1",
        "-- a comment\nSET x = 1",
        "/* one */ /* two */ SET x = 1",
        "SELECT 1 AS x INTO TEMP y",
        "select PG_TRY_ADVISORY_LOCK(1)",
        "WITH x AS (SELECT pg_advisory_lock(1)) SELECT 1",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "CREATE TEMP VIEW x AS SELECT 1",
        "PRAGMA foreign_keys = OFF",
        "pragma main.journal_mode=delete",
        "LISTEN x",
        "DO GET_LOCK('x', 1)",
    ],
)
def test_watch__what_changes_the_session(statement: str) -> None:
    guard = Guard(sessions=True)
    guard._watch(lambda *args: None, statement, None, False, {"connection": connections["default"]})

    assert guard._changed


def test_watch__statements_of_psycopg(groups: None, task_of: Any) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("there are none")

    def change() -> None:
        from psycopg import sql

        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("SET {} = 1").format(sql.Identifier("statement_timeout")))

    task_of(change)()
    result = leaving_tasks.ask("SHOW statement_timeout")
    run_all()

    assert result.get() == "0"


def test_restore__connections_of_somebody_else() -> None:
    connection_guard.restore_handler()
    ours = connections["other"]
    connections["other"] = type(ours)(dict(ours.settings_dict), "other")
    connection_guard.restore_handler()

    assert connections["other"].settings_dict is connections.settings["other"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["the same", "another"])
def test_worker__connections_of_somebody_else(start: Any, groups: None, how: str) -> None:
    leaving_tasks.replace(how)
    result = leaving_tasks.ask("SELECT 1")
    drain = start("wagtail_worker", "--drain", "--threads", "1")

    assert drain.wait() == 0
    assert result.get() == "1"
    assert set(BackgroundTask.objects.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}
    assert "The connection 'default' is not that of DATABASES" in drain.said()


@pytest.mark.slow
def test_worker__what_tasks_leave_open(start: Any, groups: None) -> None:
    for name in LEFT_OPEN:
        leaving_tasks.leave_open(name)
    result = leaving_tasks.ask("SELECT 1")
    drain = start("wagtail_worker", "--drain", "--threads", "2")

    assert drain.wait() == 0
    assert result.get() == "1"
    failed = BackgroundTask.objects.filter(state=State.FAILED, attempt=1, deaths=0)
    assert failed.count() == len(LEFT_OPEN)
    assert names() == []
    assert drain.said().count("left a transaction of the database") >= len(LEFT_OPEN)


def test_async__functions_put_back_too(groups: None, task_of: Any) -> None:
    from asgiref.sync import sync_to_async

    async def leave() -> None:
        await sync_to_async(LEFT_OPEN["begin"])()
        await asyncio.sleep(0)

    task_of(leave)()
    run_all()

    assert BackgroundTask.objects.get().state == State.FAILED
    assert names() == []


def test_log__names_the_task(groups: None, caplog: pytest.LogCaptureFixture) -> None:
    leaving_tasks.leave_open("begin")
    run_all()

    told = [
        record
        for record in caplog.records
        if record.name == "wagtail_async_hooks.queue.connection_guard"
    ]
    assert "tests.work.leaving_tasks.leave_open" in told[0].getMessage()
    assert told[0].levelno == logging.WARNING
