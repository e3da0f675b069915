"""Tests of queues: what waits in which, who serves it, and how many of its tasks run at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from tests.effort import ROW, effort
from tests.limits import PATIENCE
from tests.processes import Process, wait_until
from tests.work import tasks
from tests.work.tasks import leave_trace
from wagtail_async_hooks import background, conf, hooks, ledger
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.types import EVERYTHING, Bounds, Claim, Outcome, State
from wagtail_async_hooks.worker import schedule
from wagtail_async_hooks.worker.bounds import ClaimBounds

MANY = 15
"""So often the rows of a table are doubled."""

TASKS = 60


@background.task(queue="slow")
def take_part(path: str, number: int) -> None:
    """Say when it begins and when it ends."""
    leave_trace(path, "begins", number)
    threading.Event().wait(0.005)  # so that others would get in between
    leave_trace(path, "ends", number)


@background.task(queue="slow")
def dawdle() -> None:
    """Take a while."""
    threading.Event().wait(0.3)


@background.task()
def plain() -> None:
    """Do nothing."""


def enqueue(queue: str = "default", **columns: Any) -> int:
    """Record a task in a queue; return its row's number."""
    task = plain.task_class((), {}, priority=columns.get("priority"))
    task.submission.queue = queue
    task.submission.exclusive_key = columns.get("exclusive_key", "")
    background.enqueue(task)
    return BackgroundTask.objects.order_by("pk").last().pk  # type: ignore[union-attr]


def claim(**bounds: Any) -> Claim | None:
    """Claim the next task within bounds."""
    return ledger.step(None, None, bounds=Bounds(**bounds))[1]


def claimed(**bounds: Any) -> int | None:
    """Do the same, and return its number."""
    found = claim(**bounds)
    return None if found is None else found.pk


def finish(claim: Claim | None, state: State = State.SUCCEEDED, **outcome: Any) -> None:
    """Record how a claimed task ended."""
    assert claim is not None
    assert ledger.step(Outcome(claim, state, **outcome), None, claim=False)[0]


# Where a task waits -------------------------------------------------------------------------


def see_page(request: Any, page: Any) -> None:
    """Do nothing."""


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("given", "of_hook", "of_function", "expected"),
    [
        ({}, {}, {}, "default"),
        ({"queue": "slow"}, {}, {}, "slow"),
        ({"queue": "slow"}, {"queue": "of the hook"}, {}, "of the hook"),
        ({"queue": "slow"}, {"queue": "of the hook"}, {"queue": "mail"}, "mail"),
    ],
)
def test_hook__names_a_queue(
    editor_request: Any,
    settings: Any,
    given: dict[str, Any],
    of_hook: dict[str, Any],
    of_function: dict[str, Any],
    expected: str,
) -> None:
    from wagtail.models import Page

    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"after_publish_page": of_hook, f"{__name__}.see_page": of_function},
    }
    hooks.register("after_publish_page", see_page, background=True, **given)
    for hook in hooks.get_hooks("after_publish_page"):
        hook(editor_request, Page.get_first_root_node())

    assert BackgroundTask.objects.get(function=f"{__name__}.see_page").queue == expected


@pytest.mark.django_db
def test_task__names_a_queue() -> None:
    dawdle()
    plain()
    queues = BackgroundTask.objects.order_by("pk").values_list("queue", flat=True)
    assert list(queues) == ["slow", "default"]


@pytest.mark.django_db
def test_schedule__names_a_queue(settings: Any) -> None:
    entry = {"function": f"{__name__}.plain", "crontab": "* * * * *"}
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "SCHEDULE": {"plain": entry, "slow": {**entry, "queue": "slow"}},
    }
    known = schedule.known()
    for name in ("plain", "slow"):
        background.enqueue(known[name].make())
    queues = BackgroundTask.objects.order_by("pk").values_list("queue", flat=True)
    assert list(queues) == ["default", "slow"]


@pytest.mark.parametrize("queue", ["", "q" * 65, "a\nb", "a\0", "a ", 7])
def test_queue__name_of_no_use(queue: Any) -> None:
    expected = "should be a name of 1 to 64 printable characters, with no space around it, but is"
    with pytest.raises(TypeError, match=expected):
        hooks.register("after_publish_page", see_page, background=True, queue=queue)
    with pytest.raises(TypeError, match=f"The queue of the task .*see_page {expected}"):
        background.task(queue=queue)(see_page)


# Settings -----------------------------------------------------------------------------------


def test_settings__queues() -> None:
    settings = conf.parse({"QUEUES": {"slow": {"limit": 2}, "mail": {}}})
    assert settings.problems == ()
    assert settings.limits == {"slow": 2}


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"QUEUES": ["slow"]}, 'WAGTAIL_TASKS["QUEUES"] should be a dict with text keys'),
        ({"QUEUES": {"slow": 1}}, 'WAGTAIL_TASKS["QUEUES"]["slow"] should be a dict such as'),
        ({"QUEUES": {"": {}}}, 'A queue in WAGTAIL_TASKS["QUEUES"] should have a name of 1 to 64'),
        ({"QUEUES": {"slow": {"limits": 1}}}, 'unknown key "limits"; did you mean "limit"?'),
        ({"QUEUES": {"slow": {"limit": 0}}}, '["limit"] should be a whole number from 1 to 1000'),
        ({"WORKER": {"queues": "slow"}}, '["queues"] should be a list of queues, each a name'),
        ({"WORKER": {"queues": [""]}}, '["queues"] should be a list of queues, each a name'),
        ({"WORKER": {"exclude_queues": [[]]}}, '["exclude_queues"] should be a list of queues'),
        (
            {"WORKER": {"queues": ["a"], "exclude_queues": ["b"]}},
            'WAGTAIL_TASKS["WORKER"] should have "queues" or "exclude_queues", but has both.',
        ),
    ],
)
def test_settings__mistakes(raw: dict[str, Any], problem: str) -> None:
    [told] = conf.parse(raw).problems
    assert problem in told


@pytest.mark.django_db
def test_command__either_queues_or_all_but_some() -> None:
    with pytest.raises(CommandError, match="either --queue or --exclude-queue, not both"):
        call_command("wagtail_worker", "--queue=a", "--exclude-queue=b")
    with pytest.raises(CommandError, match="--queue: should be a name of 1 to 64"):
        call_command("wagtail_worker", "--queue=")


# Claims by queue ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_claim__of_one_queue() -> None:
    enqueue("a", priority=9)
    first = enqueue("b")
    urgent = enqueue("b", priority=1)

    assert [claimed(queues=("b",)) for _ in range(3)] == [urgent, first, None]


@pytest.mark.django_db
def test_claim__of_several_queues_by_priority_then_age() -> None:
    a, b, a2, b2 = enqueue("a"), enqueue("b"), enqueue("a"), enqueue("b", priority=5)
    enqueue("c", priority=9)

    found = [claimed(queues=("b", "a", "none of it")) for _ in range(5)]

    assert found == [b2, a, b, a2, None]


@pytest.mark.django_db
@pytest.mark.parametrize("blocked", ["a", "c"])
def test_claim__of_all_queues_but_one(blocked: str) -> None:
    enqueue(blocked, priority=9)
    b, d, b2 = enqueue("b"), enqueue("d", priority=1), enqueue("b")

    assert [claimed(left_out=(blocked,)) for _ in range(4)] == [d, b, b2, None]


@pytest.mark.django_db
def test_claim__names_of_queues_are_exact() -> None:
    enqueue("Mail")
    enqueue("mäil")
    exact = enqueue("mail")
    assert [claimed(queues=("mail",)) for _ in range(2)] == [exact, None]


@pytest.mark.django_db
def test_claim__an_exclusive_key_does_not_hide_another_queue() -> None:
    enqueue("a", exclusive_key="k")
    enqueue("a", exclusive_key="k")
    claim()
    other = enqueue("b")
    assert claimed(left_out=("c",)) == other
    assert claimed(queues=("a", "b")) is None


@pytest.mark.django_db
def test_claim__extreme_priorities() -> None:
    low, high = enqueue("a", priority=-(2**31)), enqueue("a", priority=2**31 - 1)
    assert [claimed(queues=("a",)) for _ in range(2)] == [high, low]


@pytest.mark.django_db
def test_claim__a_task_that_is_tried_again_keeps_its_place() -> None:
    first, second, urgent = enqueue(), enqueue(), enqueue(priority=1)
    for _ in range(3):  # retried, handed back, and rescued
        assert claimed() == urgent
        BackgroundTask.objects.filter(pk=urgent).update(state=State.WAITING)
    finish(claim())

    finish(claim(), State.WAITING, error="no luck")
    running = claim()
    assert running is not None
    assert running.pk == first  # again before the second
    ledger.hand_back(first, running.attempt)
    now = timezone.now()
    worker = Worker.objects.create(
        host="a", pid=1, threads=1, release="1", started_at=now, heartbeat_at=now
    )
    ledger.step(None, worker.pk)
    ledger.rescue([worker.pk], 3)

    assert [claimed() for _ in range(3)] == [first, second, None]


@pytest.mark.django_db
def test_claim__without_bounds_costs_one_statement(django_assert_num_queries: Any) -> None:
    enqueue()
    statements = 1 if connection.vendor != "mysql" else 4  # a savepoint, and two of them
    with django_assert_num_queries(statements):
        assert claim() is not None


@pytest.mark.django_db
def test_claim__beside_a_limited_queue_costs_no_more(django_assert_num_queries: Any) -> None:
    enqueue()
    statements = 1 if connection.vendor != "mysql" else 4
    with django_assert_num_queries(statements):
        assert claim(limits={"slow": 1}) is not None


@pytest.mark.django_db
def test_waits__tells_what_a_claim_would_find() -> None:
    limits = {"slow": 1}
    cases = [{}, {"queues": ("slow",)}, {"queues": ("slow", "mail")}, {"left_out": ("mail",)}]
    bounds = [Bounds(**case) for case in [*cases, {"limits": limits}]]
    assert not any(ledger.waits(bound) for bound in bounds)
    enqueue("slow")
    enqueue("slow")
    assert all(ledger.waits(bound) for bound in bounds)
    assert not ledger.waits(Bounds(queues=("mail",)))
    claim(limits=limits)
    assert ledger.waits(Bounds())
    assert not ledger.waits(Bounds(limits=limits))


@pytest.mark.skipif(not connection.features.has_select_for_update, reason="one writer at a time")
def test_waits__also_where_a_claim_passes_over_a_locked_row(committed_db: None) -> None:
    enqueue()

    def look() -> tuple[Any, bool]:
        try:
            return claim(), ledger.waits(Bounds())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        BackgroundTask.objects.select_for_update().get()
        assert threads.submit(look).result(60) == (None, True)


# Limits -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_limit__so_many_run_and_no_more() -> None:
    limits = {"slow": 2}
    slow = [enqueue("slow", priority=1) for _ in range(4)]
    other = enqueue()

    running = [claim(limits=limits) for _ in range(3)]
    assert [task and task.pk for task in running] == [*slow[:2], other]
    assert [task and task.slot for task in running] == [0, 1, None]
    assert claim(limits=limits) is None

    finish(running[0])
    again = claim(limits=limits)
    assert again is not None
    assert (again.pk, again.slot) == (slow[2], 0)


@pytest.mark.django_db
@pytest.mark.parametrize("queues", [(), ("slow",), ("slow", "mail")])
@pytest.mark.parametrize("priority", [0, -1, 9])
def test_limit__with_the_record_of_the_last_one_in_one_step(
    queues: tuple[str, ...], priority: int
) -> None:
    """SQLite would give its slot to an older task before the one that ends has left it."""
    bounds = Bounds(queues=queues, limits={"slow": 1})
    pks = [enqueue("slow"), enqueue("slow", priority=priority)]
    first, second = pks if priority <= 0 else reversed(pks)
    running = claim(queues=queues, limits=bounds.limits)
    assert running is not None
    assert running.pk == first

    kept, found = ledger.step(Outcome(running, State.SUCCEEDED), None, bounds=bounds)

    assert kept
    assert found is not None
    assert (found.pk, found.slot) == (second, 0)


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="its versions before 3.35")
@pytest.mark.parametrize("bounds", [{}, {"left_out": ("mail",)}, {"limits": {"slow": 1}}])
def test_step__where_updates_return_nothing(
    bounds: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.features, "can_return_columns_from_insert", False)
    sent: list[str] = []

    def note(execute: Any, sql: str, *others: Any) -> Any:
        sent.append(sql)
        return execute(sql, *others)

    pks = [enqueue("slow"), enqueue("slow")]
    with connection.execute_wrapper(note):
        running = claim(**bounds)
        assert running is not None
        kept, found = ledger.step(Outcome(running, State.SUCCEEDED), None, bounds=Bounds(**bounds))

    assert kept
    assert found is not None
    assert [running.pk, found.pk] == pks
    assert not any("RETURNING" in sql for sql in sent)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "bounds",
    [
        {"queues": ("slow", "mail")},
        {"left_out": ("mail",)},
        {"limits": {"slow": 2}},
        {"queues": ("slow", "mail"), "limits": {"slow": 2, "mail": 1}},
        {"hooks": ("after_edit_page",), "limits": {"mail": 1}},
    ],
)
@pytest.mark.skipif(connection.vendor == "mysql", reason="It has no UPDATE that returns rows.")
def test_step__within_bounds_is_one_statement(
    bounds: dict[str, Any], django_assert_num_queries: Any
) -> None:
    pks = [enqueue("slow") for _ in range(3)]
    running = claim(**bounds)
    for pk in pks[1:]:
        with django_assert_num_queries(1):
            kept, running = ledger.step(
                Outcome(running, State.SUCCEEDED), None, bounds=Bounds(**bounds)
            )
        assert kept
        assert running is not None
        assert (running.pk, running.slot) == (pk, 0 if "slow" in bounds.get("limits", {}) else None)


@pytest.mark.django_db
@pytest.mark.parametrize("queues", [(), ("slow",), ("slow", "mail")])
def test_limit__holds_where_an_end_comes_too_late(queues: tuple[str, ...]) -> None:
    """The task runs again elsewhere, in the slot that its first try had."""
    bounds = Bounds(queues=queues, limits={"slow": 1})
    first = enqueue("slow")
    enqueue("slow")
    late = claim(queues=queues, limits=bounds.limits)
    assert late is not None
    BackgroundTask.objects.filter(pk=first).update(attempt=2)

    assert ledger.step(Outcome(late, State.SUCCEEDED), None, bounds=bounds) == (False, None)
    assert list(BackgroundTask.objects.filter(state="running").values_list("pk", "slot")) == [
        (first, 0)
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("queues", [(), ("slow",), ("slow", "mail")])
def test_limit__that_was_lowered_meanwhile(queues: tuple[str, ...]) -> None:
    pks = [enqueue("slow") for _ in range(4)]
    running = [claim(queues=queues, limits={"slow": 3}) for _ in range(3)]
    last = running[-1]
    assert last is not None
    assert last.slot == 2
    bounds = Bounds(queues=queues, limits={"slow": 2})

    assert ledger.step(Outcome(last, State.SUCCEEDED), None, bounds=bounds) == (True, None)
    finish(running[1])
    found = claim(queues=queues, limits={"slow": 2})
    assert found is not None
    assert (found.pk, found.slot) == (pks[3], 1)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ['"', "\\", "{}", "NULL", "a,b", "%s", "ü' ", "\\'\""])
def test_bounds__names_are_what_they_say(name: str) -> None:
    """On PostgreSQL they are parts of an array, in whose text some of them mean something."""
    odd, other = enqueue(name), enqueue("other")
    assert claimed(left_out=(name,)) == other
    assert claimed(hooks=(name,), functions=(name,), queues=(name, "x"), limits={name: 1}) == odd
    assert claimed(limits={name: 1}) is None


@pytest.mark.django_db
def test_limit__holds_for_a_queue_that_is_served_alone() -> None:
    enqueue("slow")
    enqueue("slow")
    bounds: dict[str, Any] = {"queues": ("slow",), "limits": {"slow": 1}}
    assert claim(**bounds) is not None
    assert claim(**bounds) is None


@pytest.mark.django_db
def test_limit__that_is_lifted_leaves_nothing_behind() -> None:
    pks = [enqueue("slow") for _ in range(3)]
    for _ in range(2):  # each in its turn in the same slot
        finish(claim(limits={"slow": 1}), State.SCHEDULED)
    BackgroundTask.objects.update(state=State.WAITING)
    assert [claimed() for _ in range(3)] == pks


@pytest.mark.django_db
def test_limit__a_dead_worker_frees_the_slot() -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        host="a", pid=1, threads=1, release="1", started_at=now, heartbeat_at=now
    )
    first = enqueue("slow")
    enqueue("slow")
    ledger.step(None, worker.pk, bounds=Bounds(limits={"slow": 1}))
    ledger.rescue([worker.pk], 3)
    assert claimed(limits={"slow": 1}) == first


@pytest.mark.django_db
def test_limit__a_merged_task_hands_its_slot_over() -> None:
    for queue in ("slow", "slow", "another"):
        task = plain.task_class((), {})
        task.submission.coalesce_key, task.submission.queue = "k", queue
        background.enqueue(task)

    found = claim(limits={"slow": 1})

    assert found is not None
    assert found.slot == 0
    rows = BackgroundTask.objects.order_by("pk").values_list("state", "slot")
    assert list(rows) == [(State.MERGED, 0), (State.RUNNING, 0), (State.WAITING, None)]


def test_limit__many_claims_in_the_same_instant(committed_db: None) -> None:
    for _ in range(24):
        enqueue("slow")
    barrier = threading.Barrier(8)
    found: list[Claim] = []
    running = BackgroundTask.objects.filter(state=State.RUNNING)

    def work() -> None:
        barrier.wait(PATIENCE)
        try:
            # Of those that want the head in the same instant one gets it. The others find nothing,
            # and would be woken by that one.
            while running.count() < 3:
                if task := claim(limits={"slow": 3}):
                    found.append(task)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(str(task.slot) for task in found) == ["0", "1", "2"]
    assert running.count() == 3


@pytest.mark.django_db
def test_limit__the_bell_rings_for_the_next_one(monkeypatch: Any, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"slow": {"limit": 1}}}
    told: list[str] = []
    monkeypatch.setattr(background.storage, "announce_room", told.append)
    enqueue("slow")
    enqueue()
    for _ in range(2):
        background.execute(background.next())
    assert told == ["slow"]
    assert ledger.next_in_queue("slow") is None
    pk = enqueue("slow", priority=3)
    assert ledger.next_in_queue("slow") == (pk, 3)


# What is read -------------------------------------------------------------------------------


def crowd(**columns: Any) -> int:
    """Fill the table with copies of one waiting task, and let the database count them."""
    enqueue("slow", priority=5, **columns)
    table = BackgroundTask._meta.db_table
    names = ", ".join(f.column for f in BackgroundTask._meta.concrete_fields if not f.primary_key)
    with connection.cursor() as cursor:
        for _ in range(MANY):
            cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table}")
        if connection.vendor != "mysql":  # where it commits, and where rows are counted anyway
            cursor.execute(f"ANALYZE {table}")
    return int(2**MANY)


@pytest.mark.slow
@pytest.mark.django_db
def test_effort__a_crowd_of_another_queue_is_not_read() -> None:
    rows = crowd()
    for _ in range(20):
        enqueue("quick")
        enqueue("mail", priority=1)
    cases: dict[str, dict[str, Any]] = {
        "all": {},
        "one": {"queues": ("quick",)},
        "two": {"queues": ("quick", "mail")},
        "all but one": {"left_out": ("slow",)},
        "room": {"limits": {"slow": 3}},
        "limited alone": {"limits": {"slow": 3}, "queues": ("slow",)},
    }
    efforts = {name: effort(lambda case=case: claim(**case)) for name, case in cases.items()}
    first = claim(queues=("slow",), limits={"slow": 1})
    full = {"slow": 1 if first and first.slot == 0 else 3}
    while claim(queues=("slow",), limits=full) is not None:
        pass
    efforts["full"] = effort(lambda: claim(limits=full))
    efforts["full and paused"] = effort(lambda: claim(limits=full, left_out=("mail",)))
    assert {name: found for name, found in efforts.items() if found > rows * ROW / 10} == {}


@pytest.mark.slow
@pytest.mark.django_db
def test_effort__exclusive_keys_are_found_by_their_index() -> None:
    rows = crowd(exclusive_key="crowd")
    enqueue(exclusive_key="k", priority=9)
    enqueue(exclusive_key="k", priority=9)
    efforts = [effort(claim), effort(claim)]  # the second one of "k" waits for the first
    assert max(efforts) < rows * ROW / 10


@pytest.mark.slow
@pytest.mark.django_db
def test_effort__of_an_end_and_the_next_claim() -> None:
    rows = crowd()
    last = claim()
    assert last is not None
    ended = Outcome(last, State.SUCCEEDED, was_called=True)
    assert effort(lambda: ledger.step(ended, None)) < rows * ROW / 10


# Real workers -------------------------------------------------------------------------------


def run_worker(*options: str) -> None:
    """Run a worker that knows the tasks of this module."""
    call_command("wagtail_worker", *options)


@pytest.fixture
def worker(
    start: Callable[..., Process], backend: dict[str, str]
) -> Iterator[Callable[..., Process]]:
    """Start workers, with options of the command and with queues of the settings."""

    def begin(*options: str, queues: Any = None) -> Process:
        code = f"from {__name__} import run_worker; run_worker(*{options!r})"
        process = start("shell", "-c", code, TEST_QUEUES=json.dumps(queues or {}), **backend)
        process.wait_for("Background hooks")
        return process

    yield begin
    background.bounds = EVERYTHING


@pytest.mark.slow
def test_workers__a_limit_holds_over_all_and_delays_no_other_queue(
    worker: Callable[..., Process], trace_file: Path
) -> None:
    for number in range(TASKS):
        take_part(str(trace_file), number)
    for _ in range(2):
        worker("--threads=4", queues={"slow": {"limit": 1}})
    wait_until(
        lambda: not BackgroundTask.objects.exclude(state=State.SUCCEEDED).exists(), "all have run"
    )
    said = [line.split() for line in trace_file.read_text().splitlines()]
    assert said == [[word, str(n)] for n in range(TASKS) for word in ("begins", "ends")]

    for _ in range(20):
        dawdle()
    slow = BackgroundTask.objects.filter(queue="slow")
    wait_until(lambda: slow.filter(state=State.RUNNING).exists(), "the queue is full")
    pk = enqueue()
    quick = BackgroundTask.objects.filter(pk=pk, state=State.SUCCEEDED)
    wait_until(quick.exists, "the other queue goes on")
    # 20 of them take six seconds; whoever waited for them would have to wait for all.
    assert slow.filter(state=State.WAITING).exists()
    assert slow.filter(state=State.RUNNING).count() <= 1


@pytest.mark.slow
def test_workers__each_serves_its_queue(
    worker: Callable[..., Process], trace_file: Path, backend: dict[str, str]
) -> None:
    def trace(queue: str, word: str) -> None:
        task = tasks.trace.task_class((str(trace_file), word), {})
        task.submission.queue = queue
        background.enqueue(task)

    def by_word() -> dict[str, int]:
        return {word: int(pid) for word, pid in map(str.split, trace_file.read_text().splitlines())}

    mail = worker("--queue=mail", "--queue=news")
    assert "Queues: mail, news." in mail.said()
    for queue in ("default", "mail", "news"):
        trace(queue, queue)
    wait_until(lambda: len(by_word()) == 2, "the two queues are served")
    assert by_word() == {"mail": mail.pid, "news": mail.pid}
    if backend["SITE_BACKEND"] == "redis":  # nobody hears it
        wait_until(lambda: background.storage.notifier.queue_size() == 0, "the notifier is emptied")

    rest = worker("--exclude-queue=mail", "--exclude-queue=news")
    assert "Queues: all but mail, news." in rest.said()
    for number in range(5):
        trace("default", f"default {number}".replace(" ", "-"))
        trace("mail", f"mail {number}".replace(" ", "-"))
    wait_until(lambda: len(by_word()) == 13, "all are served")
    served = by_word()
    assert {word.split("-")[0] for word, pid in served.items() if pid == mail.pid} == {
        "mail",
        "news",
    }
    assert {word.split("-")[0] for word, pid in served.items() if pid == rest.pid} == {"default"}
    queues = Worker.objects.order_by("pk").values_list("queues", flat=True)
    assert list(queues) == ["mail, news", "all but mail, news"]


# The notifier -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_claim_bounds__the_notifier_is_emptied_where_nobody_hears_it(monkeypatch: Any) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(background.storage, "forget_notifications", lambda: emptied.append(True))
    claim_bounds = ClaimBounds(background, ["mail"], [])
    try:
        claim_bounds.limit_notifications()
        assert emptied == [True]
        now = timezone.now()
        Worker.objects.create(
            host="a", pid=1, threads=1, release="1", started_at=now, heartbeat_at=now
        )
        claim_bounds.limit_notifications()
        assert emptied == [True]
    finally:
        claim_bounds.reset()
