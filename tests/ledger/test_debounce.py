"""Tests of debouncing: a burst of tasks with the same key runs once, when it is over."""

from __future__ import annotations

import datetime
import random
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.models import F
from wagtail.models import Page

from tests.draining import run_all
from tests.limits import PATIENCE
from tests.processes import Process, wait_until
from tests.site.blog.models import BlogPage, HomePage
from tests.work.tasks import leave_trace
from wagtail_async_hooks import background, hooks, ledger, signals
from wagtail_async_hooks.models import BackgroundTask, Counter, Worker
from wagtail_async_hooks.types import Claim, Outcome, State, TaskInfo

HOOK = "after_publish_page"
MINUTE = datetime.timedelta(minutes=1)
"""The clock of these tests goes by minutes, so that it does not matter how long they take."""

QUIET, LONGEST = 10 * 60, 30 * 60

ran: list[Any] = []
"""What the functions below were called with."""


@background.task(coalesce="{key}", debounce=QUIET, debounce_max=LONGEST, retries=1, retry_jitter=0)
def remember(word: Any, key: str = "a key", fails: bool = False) -> Any:
    """Keep the argument, and return it."""
    ran.append(word)
    if fails:
        raise ValueError("no luck")
    return word


@background.task(coalesce="{key}", debounce=QUIET, debounce_max=LONGEST, exclusive="x")
def remember_alone(word: Any, key: str = "a key") -> None:
    """Keep the argument; beside no other task of that key."""
    ran.append(word)


@background.task()
def remember_at_once(word: Any) -> None:
    """Keep the argument."""
    ran.append(word)


def see_page(request: Any, page: Any) -> None:
    """Keep the page's title."""
    ran.append(page.title)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """Forget what ran in earlier tests."""
    ran.clear()


def pass_minutes(minutes: float) -> None:
    """Let time pass, for the rows; and what is due wait, as a worker does once a second."""
    tasks = BackgroundTask.objects.filter(state=State.SCHEDULED)
    tasks.update(run_at=F("run_at") - minutes * MINUTE)
    bounded = BackgroundTask.objects.exclude(latest_at=None)
    bounded.update(latest_at=F("latest_at") - minutes * MINUTE)
    background.read_schedule()


def rows() -> list[BackgroundTask]:
    """Return all tasks, oldest first."""
    return list(BackgroundTask.objects.order_by("pk"))


def states() -> list[State]:
    """Return where all tasks stand, oldest first."""
    return [State(row.state) for row in rows()]


def play(edits: Iterable[int], until: int) -> list[tuple[int, int]]:
    """Call the task at some minutes, with a worker that looks once a minute.

    :returns: at which minute it ran, and for which edit.
    """
    runs = []
    edits = set(edits)
    for minute in range(until + 1):
        if minute in edits:
            remember(minute)
        run_all()
        runs += [(minute, word) for word in ran]
        ran.clear()
        pass_minutes(1)
    return runs


# When a burst runs --------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([0], [(10, 0)]),
        ([0, 4, 8], [(18, 8)]),
        ([0, 9, 18, 21], [(30, 21)]),
        ([0, 11], [(10, 0), (21, 11)]),
        # Nobody stops: every 30 minutes from the first one that was not seen yet.
        (range(0, 90, 5), [(30, 30), (65, 65), (95, 85)]),
        ([0, 1, 29], [(11, 1), (39, 29)]),
    ],
)
def test_burst__runs_once_when_it_is_over_or_lasts_too_long(
    edits: Iterable[int], expected: list[tuple[int, int]]
) -> None:
    assert play(edits, 110) == expected

    assert set(states()) <= {State.MERGED, State.SUCCEEDED}
    assert states().count(State.SUCCEEDED) == len(expected)


@pytest.mark.django_db
def test_burst__the_newest_keeps_its_time_until_that_would_be_too_late() -> None:
    remember("a")
    pass_minutes(9)
    remember("b")
    before = rows()
    pass_minutes(1)
    run_all()

    first, second = rows()
    assert (first.state, first.merged_into) == (State.MERGED, second)
    assert (second.state, second.attempt) == (State.SCHEDULED, 0)
    assert second.run_at == before[1].run_at - MINUTE
    assert second.latest_at == before[0].latest_at - MINUTE

    for _ in range(2):
        pass_minutes(8)
        remember("c")
        run_all()
        pass_minutes(1)
        run_all()
    [last] = [row for row in rows() if row.state == State.SCHEDULED]
    assert last.run_at == last.latest_at
    assert ran == []


@pytest.mark.django_db
def test_burst__what_a_worker_finds_late_runs_at_once() -> None:
    for word in ("a", "b", "c"):
        remember(word)
        pass_minutes(9)
    pass_minutes(60)

    run_all()

    assert ran == ["c"]
    assert states() == [State.MERGED, State.MERGED, State.SUCCEEDED]


@pytest.mark.django_db
def test_burst__does_not_keep_other_tasks_waiting() -> None:
    remember("a")
    pass_minutes(9)
    remember("b")
    remember("c", key="another")
    pass_minutes(1)
    remember_at_once("d")

    task = background.next()  # the first is claimed first, and put off

    assert task.args == ("d",)
    background.execute(task)
    assert background.next() is None
    assert states() == [State.MERGED, State.SCHEDULED, State.SCHEDULED, State.SUCCEEDED]


@pytest.mark.django_db
def test_burst__together_with_a_delay() -> None:
    remember.schedule(args=("a",), delay=40 * 60)
    pass_minutes(11)
    remember.schedule(args=("b",), delay=1)
    pass_minutes(11)

    run_all()

    assert ran == ["b"]
    first = rows()[0]
    assert (first.state, first.latest_at) == (State.MERGED, first.run_at)


# Nothing is lost ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_result__is_that_of_the_run_at_the_end_of_the_burst() -> None:
    first = remember(0)
    play([3, 9, 15, 22], 40)

    assert states() == [State.MERGED] * 4 + [State.SUCCEEDED]
    assert first.get() == 22


@pytest.mark.django_db
def test_signal__tells_what_was_merged_into_what_waits() -> None:
    told: list[tuple[int, int]] = []

    def note(sender: str, *, task: TaskInfo, into: TaskInfo) -> None:
        told.append((task.pk, into.pk))

    remember("a")
    pass_minutes(9)
    remember("b")
    pass_minutes(1)
    with signals.merged.connected_to(note):
        run_all()

    first, second = rows()
    assert told == [(first.pk, second.pk)]
    assert not background.claims.holds(first.pk, 1)
    assert not background.claims.holds(second.pk, 0)


@pytest.mark.django_db
def test_retry__belongs_to_the_burst_that_follows() -> None:
    remember.schedule(args=("b",), kwargs={"fails": True}, delay=1, retry_delay=25 * 60)
    pass_minutes(11)
    run_all()
    assert states() == [State.SCHEDULED]
    assert rows()[0].latest_at is None
    pass_minutes(24)
    remember("c")
    pass_minutes(2)
    run_all()  # the retry is due, and the newer one is not
    assert states() == [State.MERGED, State.SCHEDULED]
    pass_minutes(9)
    run_all()

    assert ran == ["b", "c"]


@pytest.mark.usefixtures("retried_at_once")
@pytest.mark.django_db
def test_retry__without_a_delay_is_at_once_also_before_the_time_of_the_call() -> None:
    remember("a", fails=True)
    pass_minutes(11)  # by the clock on the wall, 10 minutes are left

    run_all()

    assert ran == ["a", "a"]
    assert states() == [State.FAILED]


@pytest.mark.django_db
def test_rescue__a_task_that_was_claimed_and_never_put_off() -> None:
    worker = ledger.register_worker(Worker(host="here", pid=1, threads=1, release="test"))
    remember("a")
    latest = rows()[0].latest_at
    pass_minutes(10)
    assert background.next(worker.pk).args == ("a",)
    remember("b")
    ledger.rescue([worker.pk], max_deaths=3)

    run_all()

    assert ran == []
    assert states() == [State.MERGED, State.SCHEDULED]
    assert rows()[1].latest_at == latest - 10 * MINUTE
    assert not background.claims._suspect.locked()  # nobody runs what a worker died of


@pytest.fixture
def page(db: None) -> BlogPage:
    """A post below a front page."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    return home.add_child(instance=BlogPage(title="Tides", slug="tides", introduction="High"))


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_end__all_that_was_merged_runs_after_all_if_the_last_page_is_gone(page: BlogPage) -> None:
    """Along a chain: each was merged into the next one, at another time."""
    hooks.register(HOOK, see_page, background=True, coalesce="site", debounce=QUIET)
    gone = []
    for number in range(3):
        publish(page if number == 0 else gone[-1])
        gone.append(
            page.get_parent().add_child(
                instance=BlogPage(title="Gone", slug=f"gone-{number}", introduction="-")
            )
        )
        pass_minutes(9)
        run_all()
    for other in gone:
        other.delete()

    for _ in range(20):
        pass_minutes(1)
        run_all()

    assert ran == ["Tides"]
    found = BackgroundTask.objects.filter(function=f"{__name__}.see_page").order_by("pk")
    assert [row.state for row in found] == [State.SUCCEEDED, State.CANCELLED, State.CANCELLED]


def publish(page: Any) -> None:
    """Call the hooks of this module."""
    for function in hooks.get_hooks(HOOK):
        if function.__module__ == __name__:
            function(None, page)


@pytest.mark.django_db
def test_end__cancelling_what_waits_cancels_the_burst() -> None:
    remember("a")
    pass_minutes(9)
    remember("b")
    pass_minutes(1)
    run_all()
    ledger.cancel([rows()[1].pk], "for a test")
    pass_minutes(60)

    run_all()

    assert ran == []
    assert states() == [State.MERGED, State.CANCELLED]


# Side by side with others -------------------------------------------------------------------


@pytest.mark.django_db
def test_claim__of_two_workers_in_the_middle_of_a_burst() -> None:
    """Both have claimed one that is due; the first puts off what follows, the second runs."""
    for word in ("a", "b"):
        remember(word)
        pass_minutes(5)
    first, task_id = rows()[0].pk, rows()[0].task_id
    pass_minutes(5)
    BackgroundTask.objects.filter(pk=first).update(state=State.RUNNING, attempt=1)
    remember("c")

    run_all()
    assert ran == []  # the second was put off, too
    assert [row.state for row in rows()] == [State.RUNNING, State.MERGED, State.SCHEDULED]
    claim = Claim(first, task_id, "name", "", "", "default", 0, 1, 0, b"")
    assert ledger.step(Outcome(claim, State.SUCCEEDED), None, claim=False)[0]
    pass_minutes(10)
    run_all()

    assert ran == ["c"]


@pytest.mark.parametrize(
    ("becomes", "expected"),
    [
        (State.SCHEDULED, [State.MERGED, State.SCHEDULED]),
        (State.RUNNING, [State.MERGED, State.RUNNING]),  # began after the first was there
        (State.CANCELLED, [State.SUCCEEDED, State.CANCELLED]),
    ],
)
def test_claim__waits_for_who_is_merging_the_burst(
    committed_db: None, becomes: State, expected: list[State]
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("this database lets one transaction write at a time")
    remember("a")
    pass_minutes(9)
    remember("b")
    pass_minutes(1)
    newest = rows()[1].pk
    locked, commit = threading.Event(), threading.Event()

    def merge() -> None:
        with transaction.atomic():
            BackgroundTask.objects.select_for_update().get(pk=newest)
            locked.set()
            commit.wait(PATIENCE)
            BackgroundTask.objects.filter(pk=newest).update(state=becomes)
        connections.close_all()

    def work() -> None:
        run_all()
        connections.close_all()

    threads = [threading.Thread(target=merge), threading.Thread(target=work)]
    threads[0].start()
    assert locked.wait(PATIENCE)
    threads[1].start()
    wait_until(lambda: rows()[0].state != State.WAITING, "the first is claimed")
    threading.Event().wait(0.2)  # whether it waits for the newest by then or not
    commit.set()
    for thread in threads:
        thread.join(PATIENCE)

    assert states() == expected


def test_claim__rings_for_what_waited_for_its_exclusive_key(
    committed_db: None, backend: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(background.storage, "announce_next", told.append)
    remember_alone("a")
    pass_minutes(9)
    remember_alone("b")
    pass_minutes(1)

    run_all()

    assert (ran, told) == ([], ["x"])


@pytest.mark.django_db
def test_storage__as_one_of_hueys_takes_what_is_not_put_off() -> None:
    from wagtail_async_hooks.storage.database import DatabaseStorage

    remember("a")
    pass_minutes(9)
    remember("b")
    pass_minutes(1)
    remember_at_once("c")

    message = DatabaseStorage().dequeue()

    assert message is not None
    assert background.deserialize_task(message).args == ("c",)
    assert DatabaseStorage().dequeue() is None
    assert states() == [State.MERGED, State.SCHEDULED]


# Real workers -------------------------------------------------------------------------------

EDITS = 150
"""How many changes each of two processes commits."""

HANDFUL = 5
"""More runs than a burst needs: on a slow machine, nobody may commit for a while."""


@background.task(coalesce="the page", debounce=1.5, debounce_max=60)
def look(path: str) -> None:
    """Write down how many changes have been committed."""
    leave_trace(path, Counter.objects.get(key="edits").value)


def edit_at_random(seed: int, path: str) -> None:
    """Commit changes, once another process is about to, each with a task; some are rolled back."""
    chance = random.Random(seed)
    _add("editors")
    wait_until(lambda: Counter.objects.get(key="editors").value == 2, "both begin")
    committed = 0
    while committed < EDITS:
        with transaction.atomic():
            _add("edits")
            look(path)
            committed += 1
            if chance.random() < 0.05:
                transaction.set_rollback(True)
                committed -= 1
        if chance.random() < 0.1:
            time.sleep(chance.random() / 50)
    connections.close_all()


def _add(key: str) -> None:
    Counter.objects.filter(key=key).update(value=F("value") + 1)


def run_worker() -> None:
    """Run a worker that knows the tasks of this module."""
    call_command("wagtail_worker", threads=2)


@pytest.mark.slow
def test_burst__of_hundreds_of_edits_by_two_processes(
    start: Callable[..., Process], backend: dict[str, str], trace_file: Path
) -> None:
    for key in ("edits", "editors"):
        Counter.objects.create(storage="tests", key=key, value=0)
    worker = start("shell", "-c", f"from {__name__} import run_worker; run_worker()", **backend)
    code = f"from {__name__} import edit_at_random; edit_at_random(%d, {str(trace_file)!r})"
    editors = [start("shell", "-c", code % seed, **backend) for seed in (1, 2)]

    for editor in editors:
        assert editor.wait() == 0, editor.said()
    tasks = BackgroundTask.objects.all()
    wait_until(
        lambda: not tasks.exclude(state__in=[State.SUCCEEDED, State.MERGED]).exists(),
        f"all tasks have ended:\n{worker.said()[-3000:]}",
    )

    seen = [int(line) for line in trace_file.read_text().split()]
    assert seen[-1] == Counter.objects.get(key="edits").value == 2 * EDITS, "the last was missed"
    assert len(seen) <= HANDFUL
    assert tasks.filter(state=State.SUCCEEDED).count() == len(seen)
    assert tasks.filter(state=State.MERGED).count() == 2 * EDITS - len(seen)
    for merged in tasks.filter(state=State.MERGED):
        run = ledger.unmerged(merged)
        assert run.state == State.SUCCEEDED
        assert run.started_at is not None
        assert run.started_at >= merged.enqueued_at
