"""Tests of coalescing: of several tasks that wait with the same key the newest runs for all."""

from __future__ import annotations

import datetime
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from huey.api import Result
from wagtail.models import Page

from tests.draining import run_all
from tests.limits import PATIENCE
from tests.processes import Process, wait_until
from tests.site.blog.models import BlogPage, HomePage
from tests.work.tasks import leave_trace
from wagtail_async_hooks import background, hooks, ledger, signals
from wagtail_async_hooks.ledger import coalescing
from wagtail_async_hooks.models import BackgroundTask, Counter, Worker
from wagtail_async_hooks.types import Claim, State, TaskInfo

HOOK = "after_publish_page"
KEY = "a key"

ran: list[Any] = []
"""What the functions below were called with."""


@background.task()
def remember(word: Any) -> Any:
    """Keep the argument, and return it."""
    ran.append(word)
    return word


@background.task()
def remember_too(word: Any) -> None:
    """Keep the argument."""
    ran.append(word)


@background.task()
def fail(word: Any) -> None:
    """Keep the argument, and raise an error."""
    ran.append(word)
    raise ValueError("no luck")


def see_page(request: Any, page: Any) -> None:
    """Keep the page's title."""
    ran.append(page.title)


@background.task()
def look(path: str) -> None:
    """Write down how many changes have been committed, and take longer than a change takes."""
    leave_trace(path, Counter.objects.get(key="changes").value)
    time.sleep(0.03)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """Forget what ran in earlier tests."""
    ran.clear()


def call(task: Any, word: Any, key: str = KEY, **options: Any) -> Result:
    """Call a task with a coalesce key."""
    made = task.task_class((word,), {}, **options)
    made.submission.coalesce_key = key
    return background.enqueue(made)


def states() -> list[State]:
    """Return where all tasks stand, oldest first."""
    return [State(state) for state in _tasks().values_list("state", flat=True)]


def _tasks() -> Any:
    return BackgroundTask.objects.order_by("pk")


@pytest.fixture
def page(db: None) -> BlogPage:
    """A post below a front page."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    return home.add_child(instance=BlogPage(title="Tides", slug="tides", introduction="High"))


# What is merged -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_claim__the_newest_runs_for_all() -> None:
    for word in ("a", "b", "c"):
        call(remember, word)

    run_all()

    assert ran == ["c"]
    first, second, third = _tasks()
    assert states() == [State.MERGED, State.MERGED, State.SUCCEEDED]
    assert first.merged_into == second.merged_into == third
    assert third.merged_into is None
    assert first.finished_at is not None
    assert second.finished_at is not None
    assert (first.error, second.error) == ("", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("task", "key"), [(remember, ""), (remember, "another key"), (remember_too, KEY)]
)
def test_claim__leaves_other_keys_and_functions_alone(task: Any, key: str) -> None:
    call(task, "other", key)
    call(remember, "mine")

    run_all()

    assert ran == ["other", "mine"]
    assert states() == [State.SUCCEEDED] * 2


@pytest.mark.django_db
def test_claim__without_keys_nothing_is_merged() -> None:
    call(remember, "a", key="")
    call(remember, "b", key="")

    run_all()

    assert ran == ["a", "b"]


@pytest.mark.django_db
def test_claim__what_comes_later_runs_by_itself() -> None:
    call(remember, "a")
    task = background.next()
    call(remember, "b")

    background.execute(task)
    run_all()

    assert ran == ["a", "b"]
    assert states() == [State.SUCCEEDED] * 2


@pytest.mark.django_db
def test_claim__the_newest_runs_even_if_another_is_claimed_for_its_priority() -> None:
    call(remember, "urgent", priority=9)
    call(remember, "newest", priority=-9)
    call(remember_too, "between", key="", priority=5)

    run_all()

    assert ran == ["newest", "between"]


@pytest.mark.django_db
def test_claim__takes_what_is_delayed_along() -> None:
    call(remember, "now")
    call(remember, "later", eta=timezone.now().replace(tzinfo=None) + timezone.timedelta(hours=1))
    assert states() == [State.WAITING, State.SCHEDULED]

    run_all()

    assert ran == ["later"]
    assert states() == [State.MERGED, State.SUCCEEDED]


@pytest.mark.django_db
def test_claim__a_newer_call_takes_a_scheduled_retry_along() -> None:
    call(fail, "a", retries=2, retry_delay=3600)
    run_all()
    assert states() == [State.SCHEDULED]
    call(fail, "b")

    run_all()

    assert ran == ["a", "b"]
    assert states() == [State.MERGED, State.FAILED]


@pytest.mark.django_db
def test_claim__an_older_call_runs_a_newer_ones_retry_at_once() -> None:
    call(fail, "older", priority=-1)
    older = _tasks().get()
    BackgroundTask.objects.update(state=State.CANCELLED)  # not committed yet
    call(fail, "newer", retries=1, retry_delay=3600)
    run_all()
    BackgroundTask.objects.filter(pk=older.pk).update(state=State.WAITING)

    run_all()

    assert ran == ["newer", "newer"]
    assert states() == [State.MERGED, State.FAILED]


@pytest.mark.django_db
def test_claim__merges_what_was_rescued() -> None:
    worker = ledger.register_worker(Worker(host="here", pid=1, threads=1, release="test"))
    call(remember, "a")
    background.next(worker.pk)
    ledger.rescue([worker.pk], max_deaths=3)
    call(remember, "b")

    run_all()

    assert ran == ["b"]
    assert states() == [State.MERGED, State.SUCCEEDED]


@pytest.mark.django_db
def test_claim__leaves_out_what_a_worker_died_of_where_suspects_are_passed_over() -> None:
    call(remember, "suspect")
    BackgroundTask.objects.update(deaths=1)
    call(remember, "new")

    _, claim = ledger.step(None, None, suspects=False)

    assert claim is not None
    assert claim.merged == ()
    assert states() == [State.WAITING, State.RUNNING]


@pytest.mark.django_db
def test_claim__is_that_of_the_row_that_runs() -> None:
    worker = ledger.register_worker(Worker(host="here", pid=1, threads=1, release="test"))
    call(remember, "a")
    call(remember, "b")

    task = background.next(worker.pk)

    newest = _tasks().last()
    assert (task.claim.pk, task.claim.attempt, task.claim.task_id) == (newest.pk, 1, task.id)
    assert (newest.attempt, newest.worker, newest.state) == (1, worker, State.RUNNING)
    assert newest.started_at is not None
    assert background.claims.holds(newest.pk, 1)
    assert [merged.attempt for merged in task.claim.merged] == [1]
    background.execute(task)


@pytest.mark.django_db
def test_claim__more_than_fit_into_one_statement() -> None:
    call(remember, "first")
    row = _tasks().get()
    copies = [BackgroundTask(**_values(row), task_id=str(number)) for number in range(1500)]
    BackgroundTask.objects.bulk_create(copies, batch_size=100)

    with few_variables():
        task = background.next()

    assert len(task.claim.merged) == 1500
    assert BackgroundTask.objects.filter(merged_into=task.claim.pk).count() == 1500
    background.execute(task)


@contextmanager
def few_variables() -> Iterator[None]:
    """While SQLite takes no more variables in a statement than some builds of it do."""
    if connection.vendor != "sqlite":
        yield
        return
    kind = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    before = connection.connection.setlimit(kind, 999)
    try:
        yield
    finally:
        connection.connection.setlimit(kind, before)


def _values(row: BackgroundTask) -> dict[str, Any]:
    names = ("name", "function", "message", "state", "coalesce_key", "enqueued_at")
    return {name: getattr(row, name) for name in names}


# Nothing is lost ----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_end__merged_tasks_run_after_all_if_the_page_of_the_newest_is_gone(page: BlogPage) -> None:
    hooks.register(HOOK, see_page, background=True, coalesce="a site")
    other = page.get_parent().add_child(
        instance=BlogPage(title="Gone", slug="gone", introduction="-")
    )
    _publish(page)
    _publish(other)
    other.delete()

    run_all()

    assert ran == ["Tides"]
    rows = BackgroundTask.objects.filter(function=f"{__name__}.see_page").order_by("pk")
    assert [(row.state, row.merged_into_id) for row in rows] == [
        (State.SUCCEEDED, None),
        (State.CANCELLED, None),
    ]
    assert rows[1].error == "its page was deleted"


def _publish(page: BlogPage) -> None:
    for function in hooks.get_hooks(HOOK):
        if function.__module__ == __name__:
            function(None, page)


@pytest.mark.django_db
def test_end__merged_tasks_run_after_all_if_the_newest_is_revoked() -> None:
    call(remember, "a")
    call(remember, "b")
    call(remember, "c").revoke()

    run_all()

    assert ran == ["b"]
    assert states() == [State.MERGED, State.SUCCEEDED, State.CANCELLED]


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_end__what_an_earlier_attempt_merged_runs_after_all_too() -> None:
    call(fail, "a")
    result = call(fail, "b", retries=1)
    task = background.next()
    background.execute(task)
    assert states() == [State.MERGED, State.WAITING]
    result.revoke()

    run_all()

    assert ran == ["b", "a"]
    assert states() == [State.FAILED, State.CANCELLED]


@pytest.mark.django_db
def test_end__merged_tasks_run_after_all_if_the_newest_cannot_be_read() -> None:
    call(remember, "a")
    call(remember, "b")
    BackgroundTask.objects.filter(pk=_tasks().last().pk).update(message=b"a forgery")

    run_all()

    assert ran == ["a"]
    assert states() == [State.SUCCEEDED, State.FAILED]


@pytest.mark.django_db
def test_end__a_run_that_failed_was_a_run() -> None:
    call(fail, "a")
    call(fail, "b")

    run_all()

    assert ran == ["b"]
    assert states() == [State.MERGED, State.FAILED]


@pytest.mark.django_db
def test_claim__runs_by_itself_while_the_database_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[TaskInfo] = []

    def note(sender: str, *, task: TaskInfo, duration: float) -> None:
        ended.append(task)

    def contend(*args: Any) -> Any:
        raise OperationalError("database is locked")

    call(remember, "a")
    call(remember, "b")
    with monkeypatch.context() as patch, signals.succeeded.connected_to(note):
        patch.setattr(coalescing, "_take_over", contend)
        run_all()

    assert ran == ["a", "b"]
    assert states() == [State.SUCCEEDED] * 2
    assert [task.pk for task in ended] == [row.pk for row in _tasks()]


# Results and signals ------------------------------------------------------------------------


@pytest.mark.django_db
def test_result__of_a_merged_task_is_that_of_the_one_it_was_merged_into() -> None:
    merged = call(remember, "a")
    call(remember, "b")
    assert merged.get() is None

    run_all()

    assert merged.get() == "b"


@pytest.mark.django_db
def test_result__follows_a_task_that_was_merged_again() -> None:
    first = call(fail, "a", retries=1, retry_delay=3600)
    call(fail, "b", retries=1, retry_delay=3600)
    run_all()
    call(fail, "c")
    run_all()

    assert states() == [State.MERGED, State.MERGED, State.FAILED]
    assert ledger.ended(first.id) == _tasks().last()


@pytest.mark.django_db
def test_signal__tells_what_was_merged_into_what() -> None:
    told: list[tuple[str, int, int]] = []

    def note(sender: str, *, task: TaskInfo, into: Claim) -> None:
        told.append((sender, task.pk, into.pk))

    for word in ("a", "b", "c"):
        call(remember, word)
    with signals.merged.connected_to(note):
        run_all()

    first, second, third = _tasks().values_list("pk", flat=True)
    sender = f"{__name__}.remember"
    assert sorted(told) == [(sender, first, third), (sender, second, third)]


# The key of a call --------------------------------------------------------------------------


def by_slug(request: Any, page: Any) -> str:
    """A key, from the arguments of a hook."""
    return f"slug {page.slug}"


def no_key(request: Any, page: Any) -> None:
    """No key at all."""


def broken(request: Any, page: Any) -> str:
    """Raise an error."""
    raise ValueError("no key")


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{page.pk}", "{pk}"),
        ("{page.slug}/{request}", "tides/None"),
        ("the site", "the site"),
        (by_slug, "slug tides"),
        (no_key, ""),
        (lambda request, page: page.pk, "{pk}"),
        (lambda **arguments: ",".join(arguments), "request,page"),
        (broken, ""),
        ("{page.no_such_thing}", ""),
        ("{pgae.pk}", ""),
        (None, ""),
    ],
)
def test_coalesce__key(page: BlogPage, template: Any, expected: str) -> None:
    hooks.register(HOOK, see_page, background=True, coalesce=template)

    _publish(page)

    row = BackgroundTask.objects.get(function=f"{__name__}.see_page")
    assert row.coalesce_key == expected.replace("{pk}", str(page.pk))


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_coalesce__a_key_that_cannot_be_made_is_logged_and_loses_nothing(
    page: BlogPage, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.register(HOOK, see_page, background=True, coalesce="{pgae.pk}")

    _publish(page)
    run_all()

    assert "Tides" in ran
    [record] = [r for r in caplog.records if "cannot be made" in r.getMessage()]
    assert f"coalesce= of {HOOK} {__name__}.see_page" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_coalesce__long_keys_are_told_apart(page: BlogPage) -> None:
    hooks.register(HOOK, see_page, background=True, coalesce="{page.title}")
    keys = set()

    for title in ("é" * 300, "é" * 300 + "!", "é" * 300):
        page.title = title
        _publish(page)
    for row in BackgroundTask.objects.filter(function=f"{__name__}.see_page"):
        keys.add(row.coalesce_key)

    assert len(keys) == 2
    assert max(map(len, keys)) <= 255


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_coalesce__in_the_settings(page: BlogPage, settings: Any) -> None:
    hooks.register(HOOK, see_page, background=True, coalesce="in code")
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {HOOK: {"coalesce": "{page.slug}"}}}

    _publish(page)

    row = BackgroundTask.objects.get(function=f"{__name__}.see_page")
    assert row.coalesce_key == "tides"


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_coalesce__keys_that_differ_in_case_are_different(page: BlogPage) -> None:
    call(remember, "a", "KEY")
    call(remember, "b", "key")

    run_all()

    assert ran == ["a", "b"]


# What it costs ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_claim__without_a_key_costs_nothing_more(django_assert_num_queries: Any) -> None:
    call(remember, "a", key="")
    claim_itself = {"sqlite": 1, "postgresql": 1}.get(connection.vendor, 4)

    with django_assert_num_queries(claim_itself):
        task = background.next()

    background.execute(task)


@pytest.mark.usefixtures("committed_db")  # on MySQL, ANALYZE commits
def test_claim__looks_for_the_same_key_by_the_index() -> None:
    call(remember, "a", key="")
    row = _tasks().get()
    history = {**_values(row), "state": State.SUCCEEDED}
    BackgroundTask.objects.bulk_create(
        [
            BackgroundTask(**{**history, "coalesce_key": f"key {number % 50}"}, task_id=str(number))
            for number in range(3000)
        ],
        batch_size=100,
    )
    _analyse()
    call(remember, "b")
    call(remember, "c")

    with CaptureQueriesContext(connection) as queries:
        run_all()

    [lookup] = [
        query["sql"]
        for query in queries
        if query["sql"].startswith("SELECT")
        and "ORDER BY id" in query["sql"]
        and "coalesce_key = '" in query["sql"]
        and KEY in query["sql"]
    ]
    assert "bgtask_coalesce" in _plan(lookup)


def _analyse() -> None:
    table = BackgroundTask._meta.db_table
    statement = {"mysql": f"ANALYZE TABLE {table}"}.get(connection.vendor, f"ANALYZE {table}")
    with connection.cursor() as cursor:
        cursor.execute(statement)
        if connection.vendor == "mysql":
            cursor.fetchall()


def _plan(query: str) -> str:
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {query}")
        return "\n".join(str(row) for row in cursor.fetchall())


# Several at once ----------------------------------------------------------------------------


@contextmanager
def another_connection(action: Callable[[], None]) -> Iterator[None]:
    """While another connection has done something in a transaction that is still open."""
    done, leave = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                action()
                done.set()
                leave.wait(PATIENCE)
        finally:
            done.set()
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    done.wait(PATIENCE)
    try:
        yield
    finally:
        leave.set()
        thread.join()


@pytest.mark.usefixtures("committed_db")
def test_claim__leaves_a_row_to_the_worker_that_is_claiming_it() -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("this database lets one transaction write at a time")
    call(remember, "a")
    call(remember, "b")
    last = _tasks().last().pk

    with another_connection(lambda: list(_tasks().select_for_update().filter(pk=last))):
        task = background.next()
        background.execute(task)

    assert ran == ["a"]
    assert states() == [State.SUCCEEDED, State.WAITING]


@pytest.mark.usefixtures("committed_db")
def test_claim__does_not_see_what_is_not_committed() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("this database lets one transaction write at a time")
    call(remember, "a")

    def enqueue() -> None:
        call(remember, "b")

    with another_connection(enqueue):
        run_all()
        assert ran == ["a"]
    run_all()

    assert ran == ["a", "b"]


CHANGES = 60
"""How many changes each process commits."""


def change_at_random(seed: int, path: str) -> None:
    """Commit changes, each with a task that looks at them; some are rolled back."""
    chance = random.Random(seed)
    for _ in range(CHANGES):
        with transaction.atomic():
            Counter.objects.filter(key="changes").update(value=F("value") + 1)
            call(look, path, key="changes")
            time.sleep(chance.choice([0, 0, 0.002]))
            if chance.random() < 0.1:
                transaction.set_rollback(True)
        time.sleep(chance.choice([0, 0, 0, 0.005, 0.02]))
    connections.close_all()


def run_worker() -> None:
    """Run a worker that knows the tasks of this module."""
    call_command("wagtail_worker", threads=2)


@pytest.mark.slow
def test_claim__two_editors_and_a_worker(start: Callable[..., Process], trace_file: Path) -> None:
    Counter.objects.create(storage="tests", key="changes", value=0)
    worker = start("shell", "-c", f"from {__name__} import run_worker; run_worker()")
    code = f"from {__name__} import change_at_random; change_at_random(%d, {str(trace_file)!r})"
    editors = [start("shell", "-c", code % seed) for seed in (1, 2)]

    for editor in editors:
        assert editor.wait() == 0, editor.said()
    wait_until(
        lambda: not BackgroundTask.objects.exclude(state__in=["succeeded", "merged"]).exists(),
        f"all tasks have ended:\n{worker.said()[-3000:]}",
    )

    seen = [int(line) for line in trace_file.read_text().split()]
    committed = Counter.objects.get(key="changes").value
    assert max(seen) == committed, "no run saw the last change"
    assert len(seen) < committed, "nothing was merged"  # how much depends on the machine
    tasks = BackgroundTask.objects.all()
    assert tasks.count() == committed
    assert tasks.filter(state=State.SUCCEEDED).count() == len(seen)
    assert tasks.filter(state=State.MERGED).count() == committed - len(seen)
    for merged in tasks.filter(state=State.MERGED).select_related("merged_into"):
        assert merged.merged_into.state == State.SUCCEEDED
        # SQLite's times are the process's, who waits for the lock after a look at its clock.
        waited = datetime.timedelta(seconds=20 if connection.vendor == "sqlite" else 0)
        assert merged.merged_into.started_at >= merged.enqueued_at - waited
