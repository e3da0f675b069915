"""What is told, to whom, and how often; of rows that are made up, and in this process."""

from __future__ import annotations

import datetime
import logging
import threading
from typing import Any

import pytest
from django.core import mail
from django.db import OperationalError, connection, connections
from django.test import override_settings
from django.utils import timezone, translation

from tests.admin.making import make_task
from tests.monitoring.alerts import receivers
from tests.monitoring.alerts.conftest import Configure, ago, wait_for
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import (
    AlertRecord,
    AlertTarget,
    BackgroundTask,
    MutedError,
    TaskStatistic,
    Worker,
)
from wagtail_async_hooks.monitoring.alerts import conditions, telling
from wagtail_async_hooks.monitoring.alerts.conditions import Found
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import Alert, AlertKind, State
from wagtail_async_hooks.utils.database.outages import Outage

Received = list[Alert]

pytestmark = pytest.mark.usefixtures("configure")


def found() -> Found:
    """Return all that is wrong."""
    moment = Moment()
    with translation.override("en"):
        return conditions.of_workers(moment).and_also(conditions.of_errors(moment.time))


def check() -> list[telling.Told]:
    """Tell what is wrong."""
    return list(telling.tell_all(found(), ledger.clock()))


def keys() -> set[str]:
    """Return what is wrong."""
    return {problem.key for problem in found().problems}


def fail(function: str = "shop.purge", **columns: Any) -> BackgroundTask:
    """Make a task that failed."""
    given = {"error_type": "shop.Timeout", "error_place": "shop.cdn.purge", "error": "geheim"}
    return make_task(state=State.FAILED, **{**given, "function": function, **columns})


def waiting(minutes: float = 30, **columns: Any) -> BackgroundTask:
    """Make a task that has waited for some time."""
    return make_task(state=State.WAITING, enqueued_at=ago(minutes=minutes), **columns)


def subjects(received: Received) -> list[str]:
    """Return what was told, in short."""
    return [alert.subject.removeprefix("[Saltmarsh Post] ") for alert in received]


# New errors ---------------------------------------------------------------------------------


def test_new_error__is_told_once(worker: Worker, received: Received) -> None:
    fail()
    check()
    fail()
    wait_for(days=3)
    check()
    [alert] = received
    assert alert.subject == "[Saltmarsh Post] New error: Timeout in Purge"
    [problem] = alert.problems
    assert (problem.kind, problem.is_over) == (AlertKind.NEW_ERROR, False)
    assert problem.text == "shop.Timeout, raised in shop.cdn.purge: 1 task of shop.purge failed."
    assert "wagtail_tasks retry --state=failed --function=shop.purge" in problem.remedy
    assert problem.url.startswith("http://127.0.0.1:8000/admin/")
    assert problem.url in alert.text
    assert "geheim" not in repr(alert)


def test_new_errors__are_gathered(worker: Worker, received: Received) -> None:
    for number in range(30):
        fail(f"shop.purge_{number}")
    check()
    [alert] = received
    assert len(alert.problems) == 30
    assert alert.subject.startswith("[Saltmarsh Post] 30 problems with background tasks: New ")
    assert len(alert.subject) < 200
    assert "And 10 more." in alert.text

    fail("shop.first")
    check()
    fail("shop.second")
    check()
    assert len(received) == 1  # there was a message just now
    wait_for(minutes=6)
    check()
    assert len(received) == 2
    assert len(received[1].problems) == 2


def test_new_error__again_after_a_day_of_quiet(worker: Worker, received: Received) -> None:
    row = fail()
    check()
    BackgroundTask.objects.filter(pk=row.pk).update(finished_at=ago(hours=25))
    check()
    wait_for(hours=25)
    assert len(received) == 1  # that it is over, nobody knows
    fail()
    check()
    assert subjects(received) == ["New error: Timeout in Purge"] * 2


def test_new_error__none_that_is_muted_or_old(worker: Worker, received: Received) -> None:
    fail(finished_at=ago(days=2))
    ledger.mute("shop.Timeout", "shop.draw", "shop.cdn.purge")
    fail("shop.draw")
    check()
    assert not received
    MutedError.objects.all().delete()
    check()
    assert subjects(received) == ["New error: Timeout in Draw"]


def test_new_error__without_an_exception(worker: Worker, received: Received) -> None:
    fail(error_type="", error_place="")
    check()
    [problem] = received[0].problems
    assert problem.title == "New error: No exception in Purge"
    assert problem.text.startswith("No exception: its worker died")


# Failure rate -------------------------------------------------------------------------------


def count(worker: Worker, *, failed: int, succeeded: int, minutes: float = 1) -> None:
    """Record how tasks have ended."""
    start = ledger.start_of(ledger.clock() - datetime.timedelta(minutes=minutes))
    numbers = {"failed": failed, "succeeded": succeeded}
    TaskStatistic.objects.create(
        worker=worker, start=start, queue="default", function="shop.purge", **numbers
    )


@pytest.mark.parametrize(
    ("failed", "succeeded", "is_told"), [(5, 5, True), (5, 6, False), (5, 4, False), (9, 1, True)]
)
def test_failure_rate(
    worker: Worker, received: Received, failed: int, succeeded: int, is_told: bool
) -> None:
    count(worker, failed=failed, succeeded=succeeded)
    count(worker, failed=100, succeeded=0, minutes=40)
    check()
    assert bool(received) is is_told
    for alert in received:
        [problem] = alert.problems
        assert problem.key == "failure-rate"
        assert problem.text == (
            f"{failed} of the 10 tasks that ended in the last quarter of an hour have failed: "
            f"shop.purge ({failed})."
        )


def test_failure_rate__is_over(worker: Worker, received: Received) -> None:
    count(worker, failed=20, succeeded=0)
    check()
    count(worker, failed=0, succeeded=30)
    check()
    expected = "100 % of the background tasks fail"
    assert subjects(received) == [expected, f"Over: {expected}"]


# Waiting tasks, and workers -----------------------------------------------------------------


def test_waiting(worker: Worker, received: Received) -> None:
    waiting(minutes=14)
    assert keys() == set()
    waiting(minutes=16, queue="mail")
    waiting(minutes=17, queue="mail")
    check()
    [problem] = received[0].problems
    assert problem.key == "waiting:mail"
    assert problem.text == "2 tasks wait, the oldest for 17 min."
    BackgroundTask.objects.update(state=State.SUCCEEDED)
    check()
    assert received[1].problems[0].is_over


def test_waiting__not_what_is_paused(worker: Worker) -> None:
    waiting(queue="mail")
    waiting(hook="after_publish_page")
    pausing.pause(queue="mail", reason="")
    pausing.pause(hook="after_publish_page", reason="")
    assert keys() == set()


def test_waiting__behind_many_others(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "TASKS", 2)
    monkeypatch.setattr("wagtail_async_hooks.monitoring.moment.TASKS", 2)
    for _ in range(3):
        waiting(minutes=0, priority=5)
    waiting(minutes=16, queue="mail")
    assert keys() == {"waiting:mail"}


def died(minutes: float, *, stopped: bool = False) -> None:
    """Make a worker that is gone."""
    at = ago(minutes=minutes)
    Worker.objects.create(
        host="web-1",
        pid=7,
        threads=1,
        release="1",
        started_at=at,
        heartbeat_at=at - datetime.timedelta(seconds=3),
        stopped_at=at if stopped else None,
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("minutes", "stopped", "is_told"),
    [(4, False, False), (6, False, True), (6, True, False), (16, True, True)],
)
def test_no_worker(minutes: float, stopped: bool, is_told: bool) -> None:
    died(minutes, stopped=stopped)
    assert keys() == ({"no-worker"} if is_told else set())


@pytest.mark.django_db
def test_no_worker__of_a_site_that_never_had_one() -> None:
    assert keys() == set()
    waiting(minutes=4)
    assert keys() == set()
    waiting(minutes=6)
    assert keys() == {"no-worker"}


@pytest.mark.django_db
def test_no_worker__tells_nothing_of_what_follows(received: Received) -> None:
    living = Worker.objects.create(
        host="web-1", pid=7, threads=1, release="1", started_at=ago(), heartbeat_at=ago()
    )
    waiting()
    check()
    Worker.objects.filter(pk=living.pk).update(heartbeat_at=ago(minutes=6))
    check()
    Worker.objects.filter(pk=living.pk).update(heartbeat_at=ago())
    BackgroundTask.objects.update(state=State.SUCCEEDED)
    check()
    assert subjects(received) == [
        "Tasks of the queue “default” wait for too long",
        "No worker is alive",
        "Over: Tasks of the queue “default” wait for too long; No worker is alive",
    ]


def test_no_worker_of_a_queue(worker: Worker) -> None:
    Worker.objects.update(queues="default")
    waiting(minutes=4, queue="mail")
    assert keys() == set()
    waiting(minutes=30, queue="mail")
    assert keys() == {"no-worker:mail"}  # and not that they wait, too


def test_options__turn_off(worker: Worker, configure: Configure) -> None:
    configure(new_errors=False, failure_rate=None, waiting=None, no_worker=None)
    fail()
    count(worker, failed=20, succeeded=0)
    waiting(queue="mail")
    Worker.objects.update(queues="default")
    assert keys() == set()
    died(60)
    Worker.objects.update(heartbeat_at=ago(minutes=60))
    assert keys() == set()


# How often ----------------------------------------------------------------------------------


def test_every__reminds_of_what_lasts(worker: Worker, received: Received) -> None:
    waiting()
    check()
    wait_for(minutes=59)
    check()
    assert len(received) == 1
    wait_for(minutes=1)
    check()
    assert subjects(received) == ["Tasks of the queue “default” wait for too long"] * 2


def test_every__of_what_comes_and_goes(worker: Worker, received: Received) -> None:
    row = waiting()
    for _ in range(5):
        for state in (State.WAITING, State.SUCCEEDED):
            BackgroundTask.objects.filter(pk=row.pk).update(state=state)
            check()
    assert [alert.problems[0].is_over for alert in received] == [False, True]
    wait_for(hours=1)
    BackgroundTask.objects.update(state=State.WAITING)
    check()
    assert [alert.problems[0].is_over for alert in received] == [False, True, False]


def test_every_none__tells_once_until_it_is_over(
    worker: Worker, received: Received, configure: Configure
) -> None:
    configure(every=None, over=False)
    row = waiting()
    check()
    wait_for(days=9)
    check()
    assert len(received) == 1
    for state in (State.SUCCEEDED, State.WAITING):
        BackgroundTask.objects.filter(pk=row.pk).update(state=state)
        check()
    assert [alert.problems[0].is_over for alert in received] == [False, False]


def test_over__is_forgotten_after_a_while(worker: Worker) -> None:
    row = waiting()
    check()
    BackgroundTask.objects.filter(pk=row.pk).update(state=State.SUCCEEDED)
    check()
    assert AlertRecord.objects.get().ended_at is not None
    wait_for(days=2)
    fail()
    check()
    assert [record.kind for record in AlertRecord.objects.all()] == ["new-error"]


# Several processes --------------------------------------------------------------------------


def test_held__is_told_by_nobody_else(worker: Worker, received: Received) -> None:
    fail()
    holder = ledger.hold_target(receivers.PATH)
    assert holder
    assert not ledger.hold_target(receivers.PATH)
    assert check() == []
    ledger.release_target(receivers.PATH, "somebody else's")
    assert check() == []
    ledger.release_target(receivers.PATH, holder)
    check()
    assert len(received) == 1


@pytest.mark.slow
def test_at_the_same_moment__told_once(
    committed_db: None, configure: Configure, received: Received
) -> None:
    waiting()
    for number in range(3):
        fail(f"shop.purge_{number}")
    errors: list[BaseException] = []
    barrier = threading.Barrier(8)

    def notice() -> None:
        try:
            seen = found()
            barrier.wait(30)
            list(telling.tell_all(seen, ledger.clock()))
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=notice) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not errors
    [alert] = received
    assert len(alert.problems) == 4
    assert AlertRecord.objects.filter(told_at__isnull=False).count() == 4
    assert not AlertTarget.objects.get().holder


def test_told_by_another_process_since__is_not_told_again(
    worker: Worker, received: Received
) -> None:
    fail()
    seen = found()
    assert telling.pending(seen, ledger.clock()) == [receivers.PATH]
    check()  # another process
    assert telling.tell(receivers.PATH, seen, ledger.clock()) is None
    assert len(received) == 1
    assert ledger.hold_target(receivers.PATH)


def test_told_since_somebody_looked__is_not_over(worker: Worker, received: Received) -> None:
    before, nothing = ledger.clock(), found()
    waiting()
    fail()
    check()  # another process, which has seen more
    assert telling.pending(nothing, before) == []
    assert telling.tell(receivers.PATH, nothing, before) is None
    assert not AlertRecord.objects.filter(ended_at__isnull=False).exists()
    assert len(received) == 1


def test_over_since_somebody_looked__is_not_told_again(worker: Worker, received: Received) -> None:
    row = waiting()
    check()
    wait_for(hours=2)
    before, stale = ledger.clock(), found()
    BackgroundTask.objects.filter(pk=row.pk).update(state=State.SUCCEEDED)
    check()  # another process, which has looked later
    assert telling.tell(receivers.PATH, stale, before) is None
    assert len(received) == 2


def test_database_clock_that_goes_on__tells_what_comes_again(
    worker: Worker, received: Received
) -> None:
    row = waiting()
    check()
    for state in (State.SUCCEEDED, State.WAITING):
        BackgroundTask.objects.filter(pk=row.pk).update(state=state)
        check()
    wait_for(hours=2)
    check()
    assert [alert.problems[0].is_over for alert in received] == [False, True, False]


# What goes wrong ----------------------------------------------------------------------------


def test_function_that_raises__does_not_keep_others_from_being_told(
    worker: Worker, received: Received, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    stop = f"{receivers.__name__}.stop"
    configure(to=[receivers.BROKEN, stop, "a.b.no_such", "ops@example.com", receivers.PATH])
    fail()
    with caplog.at_level(logging.INFO):
        told = check()
    assert len(received) == len(mail.outbox) == 1
    assert {each.target for each in told if each.problem} == {
        receivers.BROKEN,
        stop,
        "a.b.no_such",
    }
    assert "could not be told “[Saltmarsh Post] New error: Timeout in Purge”, which is tried " in (
        caplog.text
    )
    assert "RuntimeError: no luck at https://…@example.com/" in caplog.text
    assert check() == []
    AlertTarget.objects.update(held_until=timezone.now())
    check()
    assert len(received) == len(mail.outbox) == 1
    assert {row.failures for row in AlertTarget.objects.exclude(failures=0)} == {2}


def test_failures__are_tried_less_and_less_often(worker: Worker, configure: Configure) -> None:
    configure(to=[receivers.BROKEN])
    fail()
    delays = []
    for _ in range(9):
        check()
        row = AlertTarget.objects.get()
        assert row.held_until is not None
        delays.append(round((row.held_until - ledger.clock()).total_seconds() / 60))
        AlertTarget.objects.update(held_until=ledger.clock())
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_over_before_it_could_be_told__is_told_all_the_same(
    worker: Worker, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = waiting()
    with monkeypatch.context() as patch:
        patch.setattr(receivers, "tell", receivers.break_down)
        check()
    BackgroundTask.objects.filter(pk=row.pk).update(state=State.SUCCEEDED)
    AlertTarget.objects.update(held_until=ledger.clock())
    check()
    [alert] = received
    assert alert.subject == "[Saltmarsh Post] Over: Tasks of the queue “default” wait for too long"
    assert alert.problems[0].text.endswith("It could not be told before.")


def test_database_that_fails_after_the_message__does_not_have_it_sent_again(
    worker: Worker, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, calls = ledger.record_told, []

    def fails_twice(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) < 3:
            raise OperationalError("database is locked")
        record(*arguments)

    monkeypatch.setattr(ledger, "record_told", fails_twice)
    monkeypatch.setattr(Outage, "begin", lambda *_: 0.0)
    fail()
    check()
    check()
    assert len(calls) == 3
    assert len(received) == 1


# Messages -----------------------------------------------------------------------------------


def test_email(worker: Worker, configure: Configure) -> None:
    configure(to=["Ops <ops@example.com>", "me@example.com"], sender="tasks@example.com")
    waiting()
    check()
    [email] = mail.outbox
    assert email.to == ["Ops <ops@example.com>", "me@example.com"]
    assert email.from_email == "tasks@example.com"
    assert email.body.splitlines()[:5] == [
        "Tasks of the queue “default” wait for too long",
        "  A task has waited for 30 min.",
        f"  Since {ago(minutes=30):%Y-%m-%d}{email.body.splitlines()[2][18:]}",
        "  → manage.py wagtail_tasks doctor (says why)",
        "  http://127.0.0.1:8000/admin/background-tasks/queues/",
    ]


def test_message__has_no_second_line_in_its_subject(worker: Worker, configure: Configure) -> None:
    configure(to=["ops@example.com"])
    waiting(queue="mail\nBcc: a@example.com")
    fail("shop.purge\nBcc: a@example.com", error_type="shop.Time\r\nout")
    with override_settings(WAGTAIL_SITE_NAME="Salt\nmarsh"):
        check()
    [email] = mail.outbox
    assert "\n" not in email.subject
    assert "\r" not in email.subject
    assert email.message()["Bcc"] is None


@pytest.mark.parametrize("base", [None, ""])
def test_message__without_an_address_of_the_admin(
    worker: Worker, received: Received, settings: Any, base: Any
) -> None:
    settings.WAGTAILADMIN_BASE_URL = base
    settings.WAGTAIL_SITE_NAME = ""
    waiting()
    check()
    assert received[0].site == "Wagtail"
    assert received[0].problems[0].url == ""


def test_doctor__tells_what_else_is_critical(worker: Worker) -> None:
    def finding(severity: Severity, code: Code, text: str) -> Finding:
        return Finding(severity, code, text, "Start it.")

    findings = [
        finding(Severity.CRITICAL, Code.NOTIFIER, "Redis does not answer. So tasks begin late."),
        finding(Severity.CRITICAL, Code.NO_WORKER, "No worker is alive."),
        finding(Severity.WARNING, Code.CLOCK, "It is late."),
    ]
    [problem] = conditions.of_doctor(findings, ledger.clock()).problems
    assert (problem.key, problem.title) == ("doctor:notifier", "Redis does not answer")


@pytest.mark.django_db
def test_records__are_of_no_kind_that_is_not_looked_at(received: Received) -> None:
    died(60)
    check()
    list(telling.tell_all(conditions.of_errors(ledger.clock()), ledger.clock()))
    assert len(received) == 1
    assert AlertRecord.objects.get().ended_at is None


def test_names__of_many_characters(worker: Worker, received: Received) -> None:
    fail("shop." + "x" * 250, error_type="shop." + "E" * 250)
    waiting(queue="q" * 64)
    check()
    check()
    assert len(received) == 1
    assert max(map(len, received[0].text.splitlines())) < 2_100
    assert connection.is_usable()
