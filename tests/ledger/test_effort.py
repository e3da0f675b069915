"""Guards of what the package asks of a database: how many statements, by which plans, how far.

They do not depend on how fast the machine is. The statements are those that the package sends, on
a table of many tasks in all states.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from wagtail import hooks as wagtails_hooks
from wagtail.models import Page

from tests import crowds, plans
from tests.conftest import real_commits
from tests.effort import ROW, effort
from tests.site.blog.models import BlogPage
from tests.site.editing import form_data
from tests.work import tasks
from wagtail_async_hooks import background, hooks, ledger
from wagtail_async_hooks.ledger import queues
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import depths, moment, overview
from wagtail_async_hooks.monitoring import queues as queues_shown
from wagtail_async_hooks.monitoring.doctor import tasks as doctors_tasks
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.queue import connection_guard, control
from wagtail_async_hooks.types import EVERYTHING, Bounds, Outcome, State
from wagtail_async_hooks.utils import forks
from wagtail_async_hooks.utils.database.outages import Outage
from wagtail_async_hooks.worker.activity import Activity
from wagtail_async_hooks.worker.threads import TaskThread

ROWS: Final = 100_000
BOUND: Final = 10_000
"""So many rows are the most that a statement may look at."""

STEP: Final = {"sqlite": 1, "postgresql": 1, "mysql": 5}
"""Queries for the end of a task and the next claim; on MySQL and MariaDB, with a savepoint."""

OURS: Final = {
    "default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"},
}
"""``TASKS`` with our backend."""

DAY: Final = datetime.timedelta(days=1)

Call = Callable[[], Any]


def rows(**columns: Any) -> Any:
    """Return the tasks with some columns, oldest first."""
    return BackgroundTask.objects.filter(**columns).order_by("pk")


# The number of statements -------------------------------------------------------------------


def queries(call: Call) -> list[str]:
    """Return what a call sends, but for savepoints that are sent on their own.

    On PostgreSQL, an INSERT and its savepoint are one round trip.
    """
    with CaptureQueriesContext(connection) as found:
        call()
    sent = [query["sql"] for query in found]
    return [sql for sql in sent if "SAVEPOINT" not in sql or ";" in sql]


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_dispatch__is_one_insert(editor_request: Any) -> None:
    hooks.register("after_edit_page", see_page, background=True)
    [wrapper] = [
        function
        for function in wagtails_hooks.get_hooks("after_edit_page")
        if function.__name__ == "see_page"
    ]
    page = Page.get_first_root_node()
    wrapper(editor_request, page)  # what is looked up once in a process

    [sent] = queries(lambda: wrapper(editor_request, page))

    assert sent.count("INSERT INTO") == 1


def see_page(request: Any, page: Any) -> None:
    """Do nothing."""


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_publish__costs_an_insert_for_the_two_tasks_of_each_object(
    client: Client, editor: Any, settings: Any
) -> None:
    settings.TASKS = OURS
    page = Page.get_first_root_node().add_child(
        instance=BlogPage(title="Tides", slug="tides", introduction="High and low")
    )
    client.force_login(editor)
    url = reverse("wagtailadmin_pages:edit", args=[page.pk])
    form = form_data(page, publish=True, title="High tides")
    with hooks.suppress():  # those of the demo
        client.post(url, form)  # what is looked up once in a process
        sent = queries(lambda: client.post(url, form))

    ours = [sql for sql in sent if "wagtail_async_hooks" in sql]

    assert [sql.count("INSERT INTO") for sql in ours] == [1] * 2
    page.refresh_from_db()
    assert (page.title, page.live) == ("High tides", True)


@pytest.mark.django_db
def test_step__is_one_statement(django_assert_num_queries: Any) -> None:
    for number in range(4):
        tasks.add(number, 1)
    with django_assert_num_queries(STEP[connection.vendor] - (connection.vendor == "mysql")):
        claimed = ledger.step(None, None)[1]
    for _ in range(2):
        assert claimed is not None
        with django_assert_num_queries(STEP[connection.vendor]):
            _, claimed = ledger.step(Outcome(claimed, State.SUCCEEDED), None)


def many(number: int, state: State = State.WAITING) -> list[int]:
    """Record so many tasks; return their numbers."""
    then = timezone.now() - 90 * DAY
    background.enqueue_many(tasks.add.s(n, 1) for n in range(number))
    keys = list(rows().order_by("-pk").values_list("pk", flat=True)[:number])
    times = {"enqueued_at": then, "run_at": then, "finished_at": then if state.is_final else None}
    rows(pk__in=keys).update(state=state, **times)
    return keys


def cancelling(number: int) -> Call:
    """Return what cancels so many tasks; the next ones do something else to so many."""
    return partial(control.cancel, many(number))


def discarding(number: int) -> Call:
    return partial(control.discard, many(number, State.FAILED))


def becoming_due(number: int) -> Call:
    many(number, State.SCHEDULED)
    return ledger.promote_due


def pruning(number: int) -> Call:
    many(number, State.SUCCEEDED)
    return partial(ledger.prune, {State.SUCCEEDED: DAY})


def stopping(number: int) -> Call:
    rows(pk__in=many(number, State.RUNNING)).update(worker=1)
    return partial(ledger.stop_worker, 1)


BULK: Final[dict[str, Callable[[int], Call]]] = {
    "enqueue_many": lambda n: partial(background.enqueue_many, [tasks.add.s(1, 1)] * n),
    "cancel": cancelling,
    "discard": discarding,
    "what is due": becoming_due,
    "pruning": pruning,
    "stop a worker": stopping,
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", BULK)
def test_bulk__of_many_takes_as_many_statements_as_of_few(name: str) -> None:
    few, more = (len(queries(BULK[name](number))) for number in (2, 20))
    assert few == more


@pytest.mark.django_db
def test_overview__of_a_page_of_the_admin_takes_few_statements() -> None:
    def look() -> None:
        overview.newest(control.select(state=State.FAILED))
        overview.bounded_counts()
        overview.by_subject()
        overview.by_user()
        overview.by_error()

    assert len(queries(look)) == 5


# What a worker does for each task ------------------------------------------------------------


class Restless:
    """A waiter that nobody waits for."""

    def mark(self) -> int:
        return 0

    def wait(self, mark: int, timeout: float) -> None:
        """Return at once."""

    def found(self) -> None:
        """There may be another task."""


@pytest.fixture
def thread() -> TaskThread:
    """Return what a worker's thread does, to be done here."""
    return TaskThread(
        huey=background,
        stop_flag=threading.Event(),
        default_delay=0,
        max_delay=0,
        backoff=0,
        worker=None,
        waiter=Restless(),
        activity=Activity(1),
        coroutines=None,
        outage=Outage(),
    )


@pytest.mark.django_db
def test_thread__looks_after_connections_before_and_after_each_task(
    thread: TaskThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, as they may have rested for long; not where there was nothing to do."""
    looks: list[str] = []
    monkeypatch.setattr(connection_guard, "tidy", lambda: looks.append("look"))
    monkeypatch.setattr(thread, "_since", forks.generation(), raising=False)  # as it starts
    for number in range(3):
        tasks.add(number, 1)
    for _ in range(5):
        thread.loop()

    assert len(looks) == 2 * 3


# How far statements look ----------------------------------------------------------------------


@pytest.fixture(scope="module", params=["statistics", "none"])
def crowd(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any
) -> Iterator[None]:
    """Many tasks, and what the database knows of them; SQLite knows nothing unless it is asked."""
    if request.param == "none" and connection.vendor != "sqlite":
        pytest.skip("servers gather statistics by themselves")
    with real_commits(django_db_blocker):
        crowds.fill(ROWS)
        if request.param == "statistics":
            crowds.gather_statistics()
        yield
        crowds.clear()
        crowds.gather_statistics()


def claim(**columns: Any) -> Call:
    """Return what claims the next task, which has some columns."""
    if columns:
        first(rows(state=State.WAITING, **columns)[0])
    return lambda: ledger.step(None, None)


def first(task: BackgroundTask) -> None:
    """Let a task be the next one."""
    rows(pk=task.pk).update(priority=100)


def ending(state: State, *, claims: bool = True, **outcome: Any) -> Call:
    """Return what records the end of a task, and claims the next one."""
    _, running = ledger.step(None, None)
    assert running is not None
    return lambda: ledger.step(Outcome(running, state, **outcome), None, claim=claims)


def due() -> Call:
    """Let some tasks become due; return what lets them wait."""
    keys = list(rows(state=State.SCHEDULED).values_list("pk", flat=True)[:50])
    rows(pk__in=keys).update(run_at=timezone.now() - datetime.timedelta(seconds=1))
    return ledger.promote_due


def burst() -> Call:
    """Let all tasks of one key be a burst; return what claims the first of them."""
    task = rows(state=State.WAITING).exclude(coalesce_key="")[0]
    later = timezone.now() + datetime.timedelta(hours=1)
    rows(coalesce_key=task.coalesce_key, state__in=("waiting", "scheduled")).update(latest_at=later)
    first(task)
    return claim()


def of_page() -> Page:
    """Return a page that tasks are about."""
    return Page(pk=17, content_type=ContentType.objects.get_for_model(Page))


HOT: Final[dict[str, Callable[[], Call]]] = {
    "claim": claim,
    "claim, one queue": lambda: lambda: ledger.step(None, None, bounds=Bounds(queues=("slow",))),
    **{
        f"claim, {name}": lambda bounds=bounds: lambda: ledger.step(None, None, bounds=bounds)
        for name, bounds in {
            "two queues": Bounds(queues=("slow", "default")),
            "all but one queue": Bounds(left_out=("default",)),
            "a limit": Bounds(limits={"slow": 5}),
            "a pause": Bounds(hooks=("after_edit_page",)),
        }.items()
    },
    "unblock": lambda: ledger.unblock,
    "what waits": lambda: lambda: ledger.waits(EVERYTHING),
    "what waits, one queue": lambda: lambda: ledger.waits(Bounds(queues=("slow",))),
    "claim, an exclusive key": lambda: claim(exclusive_key="700"),
    "claim, a coalesce key": lambda: claim(coalesce_key="700"),
    "claim, a burst": burst,
    "end": lambda: ending(State.SUCCEEDED, claims=False),
    "end and claim": lambda: ending(State.SUCCEEDED),
    "expiry and claim": lambda: ending(State.EXPIRED),
    "failure and claim": lambda: ending(State.FAILED, error="no", error_type="E", traceback="T"),
    "retry": lambda: ending(State.SCHEDULED, error="no", run_at=timezone.now()),
    "what is due": due,
    "rescue": lambda: lambda: ledger.rescue([1, 2, 3], 3),
    "silent workers": lambda: ledger.silent_workers,
    "held by a worker": lambda: lambda: ledger.held_by(1),
    "stop a worker": lambda: lambda: ledger.stop_worker(1),
    "pruning": lambda: lambda: ledger.prune({State.SUCCEEDED: DAY / 2, State.FAILED: DAY / 2}),
    "pruning workers": lambda: lambda: ledger.prune_workers(DAY),
    "next of a key": lambda: lambda: ledger.next_in_line("700"),
    "next in a queue": lambda: lambda: ledger.next_in_queue("slow"),
    "by Huey's id": lambda: lambda: ledger.ended("4711"),
    "list": lambda: lambda: overview.newest(control.select()),
    "list, failed": lambda: lambda: overview.newest(control.select(state=State.FAILED)),
    "list, long ago": lambda: lambda: overview.newest(control.select(state=State.EXPIRED)),
    "list, of a user": lambda: lambda: overview.newest(control.select(user=7)),
    "list, of a page": lambda: lambda: overview.newest(control.select(subject=of_page())),
    **{f"first, {state}": lambda state=state: lambda: overview.first(state) for state in State},
    "waits longest": lambda: overview.oldest_waiting,
    "waiting, by queue": lambda: ledger.waiting_by_queue,
    "counts, by queue": lambda: overview.counts_by_queue,
    "depths": lambda: depths.depths,
    "queues": lambda: lambda: queues_shown.overview(Moment()),
    "doctor": lambda: lambda: list(doctors_tasks.examine()),
    "counts": lambda: overview.bounded_counts,
    "by page": lambda: overview.by_subject,
    "by user": lambda: overview.by_user,
    "by error": lambda: overview.by_error,
}

SORTS: Final = (
    "claim, two queues",
    "claim, all but one queue",
    "claim, a limit",
    "claim, a pause",
    "claim, a coalesce key",
    "claim, a burst",
    "by Huey's id",
    "pruning workers",
    "waits longest",
    "first, running",
    "by page",
    "by user",
    "by error",
    "waiting, by queue",
    "counts, by queue",
    "depths",
    "queues",
    "doctor",
)
"""Those that sort what they have found, which is little."""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an overview look at few tasks, so that looking at more would be seen."""
    monkeypatch.setattr(overview, "MANY", 50)
    monkeypatch.setattr(overview, "RECENT", 200)
    monkeypatch.setattr(queues, "MANY", 50)
    monkeypatch.setattr(moment, "TASKS", 100)
    monkeypatch.setattr(doctors_tasks, "TASKS", 100)
    monkeypatch.setattr(doctors_tasks, "SAMPLE", 50)


@pytest.mark.django_db
@pytest.mark.usefixtures("crowd", "few")
@pytest.mark.parametrize("name", HOT)
def test_statement__looks_only_at_what_it_is_about(name: str) -> None:
    with transaction.atomic():
        found = plans.oddities(HOT[name]())
        transaction.set_rollback(True)
    if name in SORTS:
        found = [step for step in found if not step.startswith("sorts")]
    assert found == []
    assert effort(HOT[name]()) < BOUND * ROW


@pytest.mark.django_db
@pytest.mark.usefixtures("crowd")
def test_status__reads_indexes_rather_than_the_table() -> None:
    found = plans.oddities(overview.exact_counts)
    assert [step for step in found if step.startswith("reads")] == []
