"""Tests of the scheduler: what is due becomes one task, what was missed one at most."""

from __future__ import annotations

import datetime
import logging
import zoneinfo
from typing import Any

import pytest
from django.db import OperationalError, connection
from huey.api import crontab

from tests.draining import run_all
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.models import BackgroundTask, Schedule
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker import schedule, scheduler
from wagtail_async_hooks.worker.scheduler import Scheduler

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("registries")]

NOW = datetime.timedelta(seconds=1)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
DAILY = {"function": "tests.work.tasks.add", "args": [1, 2], "crontab": "0 3 * * *"}


def utcnow() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(datetime.UTC)


def recur(settings: Any, **entries: dict[str, Any]) -> Scheduler:
    """Let something recur; return what looks after it, and has seen it once."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "SCHEDULE": entries}
    found = Scheduler()
    found.enqueue_due()
    return found


def make_due(name: str = "sums", ago: datetime.timedelta = NOW) -> None:
    """Let an entry be due for some time."""
    assert Schedule.objects.filter(name=name).update(next_due_at=utcnow() - ago)


def row(name: str = "sums") -> Any:
    """Return what the workers know of an entry."""
    return Schedule.objects.get(name=name)


def recorded() -> list[BackgroundTask]:
    """Return all tasks, oldest first."""
    return list(BackgroundTask.objects.order_by("pk"))


# Look ---------------------------------------------------------------------------------------


def test_enqueue_due__nothing_was_missed_before_it_was_first_seen(settings: Any) -> None:
    recur(settings, sums={**DAILY, "crontab": "* * * * *"}).enqueue_due()

    assert recorded() == []
    assert utcnow() < row().next_due_at <= utcnow() + MINUTE
    assert (row().crontab, row().time_zone) == ("* * * * *", "UTC")


def test_enqueue_due__records_what_is_due(settings: Any) -> None:
    found = recur(settings, sums=DAILY)
    make_due()
    due = row().next_due_at

    found.enqueue_due()

    [task] = recorded()
    assert (task.function, task.state) == ("tests.work.tasks.add", State.WAITING)
    assert (row().last_due_at, row().last_task_id) == (due, task.pk)
    assert (row().next_due_at.hour, row().next_due_at.minute) == (3, 0)
    run_all()
    assert background.result(task.task_id) == 3


def test_enqueue_due__an_entry_whose_name_no_database_takes(settings: Any) -> None:
    name = "a\0 \ud800 😀"
    found = recur(settings, **{name: DAILY})
    Schedule.objects.update(next_due_at=utcnow() - datetime.timedelta(seconds=1))

    found.enqueue_due()
    found.enqueue_due()

    assert len(recorded()) == 1
    assert row("a\\x00 \\ud800 😀").last_task_id == recorded()[0].pk
    [status] = schedule.entries()
    assert (status.name, status.task) == (name, recorded()[0].pk)


def test_enqueue_due__of_many_only_one_records(settings: Any) -> None:
    recur(settings, sums=DAILY)
    make_due()

    for _ in range(3):
        Scheduler().enqueue_due()

    assert len(recorded()) == 1


def test_enqueue_due__of_two_that_have_read_the_same_only_one_records(settings: Any) -> None:
    recur(settings, sums=DAILY)
    make_due()
    entry, before = schedule.known()["sums"], row()

    for _ in range(2):
        scheduler._run(entry, before, before.next_due_at, utcnow())

    assert len(recorded()) == 1


def test_enqueue_due__where_nothing_recurs(settings: Any, django_assert_num_queries: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}

    with django_assert_num_queries(0):
        Scheduler().enqueue_due()


def test_enqueue_due__one_query_where_nothing_is_due(
    settings: Any, django_assert_num_queries: Any
) -> None:
    found = recur(settings, sums=DAILY, others=DAILY)
    found.enqueue_due()

    with django_assert_num_queries(1):
        found.enqueue_due()


@pytest.mark.skipif(connection.vendor == "postgresql", reason="it keeps moments, not clock times")
def test_enqueue_due__does_not_depend_on_the_zone_of_the_connection(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", "Asia/Tokyo")
    monkeypatch.setattr(connection, "timezone", zoneinfo.ZoneInfo("Asia/Tokyo"))
    found = recur(settings, sums=DAILY)
    make_due(ago=MINUTE)

    found.enqueue_due()
    found.enqueue_due()

    assert len(recorded()) == 1
    assert utcnow() < row().next_due_at <= utcnow() + 24 * HOUR


def test_enqueue_due__with_naive_times(settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    found = recur(settings, sums=DAILY)
    local = row().next_due_at.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))
    assert (local.hour, local.minute) == (3, 0)
    Schedule.objects.update(next_due_at=datetime.datetime.now() - MINUTE)

    found.enqueue_due()
    found.enqueue_due()

    assert len(recorded()) == 1
    [status] = schedule.entries()
    assert status.last_due_at is not None
    assert MINUTE <= utcnow() - status.last_due_at < 2 * MINUTE


# Missed -------------------------------------------------------------------------------------


def test_missed__is_caught_up_once(settings: Any) -> None:
    found = recur(settings, sums={**DAILY, "crontab": "0 * * * *"})
    make_due(ago=30 * HOUR)

    found.enqueue_due()
    run_all()
    found.enqueue_due()

    assert len(recorded()) == 1
    assert utcnow() - HOUR - MINUTE < row().last_due_at < utcnow()
    assert row().last_due_at.minute == 0


def test_missed__is_skipped(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    half_a_day_away = f"0 {(utcnow().hour + 12) % 24} * * *"  # else that may be what is left out
    found = recur(settings, sums={**DAILY, "crontab": half_a_day_away, "missed": "skip"})
    make_due(ago=HOUR)
    due = row().next_due_at

    found.enqueue_due()

    assert recorded() == []
    assert (row().last_skipped_at, row().last_due_at) == (due, None)
    assert row().next_due_at > utcnow()
    [told] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert told.startswith('Schedule "sums": what was due at ')
    assert told.endswith("is left out, since it is 60 minutes late.")


def test_missed__is_not_what_is_only_a_little_late(settings: Any) -> None:
    found = recur(settings, sums={**DAILY, "missed": "skip"})
    make_due(ago=4 * MINUTE)

    found.enqueue_due()

    assert len(recorded()) == 1


# Overlap ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [s for s in State if not s.is_final])
def test_overlap__a_run_that_has_not_ended_is_not_started_again(
    settings: Any, caplog: pytest.LogCaptureFixture, state: State
) -> None:
    found = recur(settings, sums=DAILY)
    make_due()
    found.enqueue_due()
    [task] = recorded()
    BackgroundTask.objects.update(state=state)
    make_due()
    due = row().next_due_at

    found.enqueue_due()

    assert len(recorded()) == 1
    assert (row().last_skipped_at, row().last_task_id) == (due, task.pk)
    assert f"since the run before it, task {task.pk}, has not ended." in caplog.text


@pytest.mark.parametrize("state", [s for s in State if s.is_final])
def test_overlap__one_that_has_ended_is_followed_by_the_next(settings: Any, state: State) -> None:
    found = recur(settings, sums=DAILY)
    make_due()
    found.enqueue_due()
    BackgroundTask.objects.update(state=state)
    make_due()

    found.enqueue_due()

    assert row().last_task_id == recorded()[1].pk


def test_overlap__a_run_whose_row_is_gone_has_ended(settings: Any) -> None:
    found = recur(settings, sums=DAILY)
    make_due()
    found.enqueue_due()
    BackgroundTask.objects.all().delete()
    make_due()

    found.enqueue_due()

    assert len(recorded()) == 1


# Clocks -------------------------------------------------------------------------------------


def test_clock__that_is_adjusted_runs_no_minute_twice(settings: Any) -> None:
    found = recur(settings, sums={**DAILY, "crontab": "* * * * *"})
    make_due()
    found.enqueue_due()
    run_all()
    # As if the clock had been two minutes ahead just now.
    Schedule.objects.update(
        last_due_at=row().last_due_at + 2 * MINUTE, next_due_at=row().next_due_at + 2 * MINUTE
    )
    found.enqueue_due()
    make_due(ago=MINUTE)  # whatever makes it due again
    found.enqueue_due()

    assert len(recorded()) == 1


def test_clock__that_was_a_year_ahead_stops_nothing(settings: Any) -> None:
    found = recur(settings, sums=DAILY)
    ahead = utcnow() + datetime.timedelta(days=365)
    Schedule.objects.update(last_due_at=ahead, next_due_at=ahead)

    found.enqueue_due()
    assert row().next_due_at < utcnow() + 25 * HOUR
    make_due()
    found.enqueue_due()

    assert len(recorded()) == 1


# Changes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [{"crontab": "0 4 * * *"}, {"time_zone": "Asia/Tokyo"}])
def test_change__of_the_times_is_planned_anew(settings: Any, changed: dict[str, str]) -> None:
    recur(settings, sums=DAILY)
    make_due(ago=HOUR)

    recur(settings, sums={**DAILY, **changed})

    assert recorded() == []
    [status] = schedule.entries()
    assert row().next_due_at == status.next_due_at
    assert row().next_due_at > utcnow()


def test_change__what_runs_needs_no_plan(settings: Any) -> None:
    recur(settings, sums=DAILY)
    make_due()

    recur(settings, sums={**DAILY, "args": [3, 4]})
    run_all()

    assert background.result(recorded()[0].task_id) == 7


def test_change__by_a_newer_release_is_left_to_it(settings: Any) -> None:
    older = recur(settings, sums=DAILY)
    Schedule.objects.update(crontab="30 * * * *")
    make_due(ago=MINUTE / 2)

    older.enqueue_due()
    assert row().crontab == "30 * * * *"

    make_due(ago=2 * MINUTE)  # that release is gone
    older.enqueue_due()
    assert (row().crontab, recorded()) == ("0 3 * * *", [])


def test_change__what_was_taken_away_and_comes_back_begins_anew(settings: Any) -> None:
    recur(settings, sums=DAILY, others=DAILY)
    recur(settings, others=DAILY)
    assert row().next_due_at is None

    recur(settings, sums=DAILY, others=DAILY)

    assert recorded() == []
    assert row().next_due_at > utcnow()


def test_change__a_row_that_was_deleted_is_made_again(settings: Any) -> None:
    found = recur(settings, sums=DAILY)
    Schedule.objects.all().delete()

    found.enqueue_due()

    assert row().next_due_at > utcnow()


# What runs ----------------------------------------------------------------------------------


def ran(settings: Any, **entry: Any) -> BackgroundTask:
    """Let an entry be due and run; return its task."""
    found = recur(settings, sums={"crontab": "0 3 * * *", **entry})
    make_due()
    found.enqueue_due()
    run_all()
    [task] = recorded()
    return task


def test_run__a_function(settings: Any) -> None:
    task = ran(settings, function="tests.work.tasks.greet", args=["Ada"], kwargs={"mark": "?"})

    assert task.function == "tests.work.tasks.greet"
    assert background.result(task.task_id) == "Hello Ada?"


def test_run__a_coroutine_task(settings: Any) -> None:
    task = ran(settings, function="tests.work.tasks.add_slowly", args=[2, 3])

    assert background.result(task.task_id) == 5


def test_run__a_command(settings: Any) -> None:
    task = ran(settings, command="diffsettings", options={"output": "unified"})

    assert task.function == "manage.py diffsettings"
    assert "\n+ WAGTAIL_TASKS = " in background.result(task.task_id)


def test_run__a_function_that_does_not_exist_is_seen(settings: Any) -> None:
    task = ran(settings, function="tests.work.tasks.gret")

    assert (task.state, task.function) == (State.FAILED, "tests.work.tasks.gret")
    assert task.error_type == "builtins.ImportError"


def test_run__a_function_that_was_taken_away_meanwhile(settings: Any) -> None:
    found = recur(settings, sums={**DAILY, "function": "tests.work.tasks.greet"})
    make_due()
    found.enqueue_due()
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    run_all()

    assert recorded()[0].error == (
        'WAGTAIL_TASKS["SCHEDULE"] has no function under "sums" any more.'
    )


def test_run__with_options(settings: Any) -> None:
    task = ran(settings, function="tests.work.tasks.fail", priority=7, retries=1, retry_delay=60)

    assert (task.priority, task.state) == (7, State.SCHEDULED)


def test_run__one_at_a_time(settings: Any) -> None:
    task = ran(settings, function="tests.work.tasks.add", args=[1, 2], exclusive="heavy")

    assert task.exclusive_key == "heavy"


def test_run__what_expires(settings: Any) -> None:
    found = recur(settings, sums={**DAILY, "expires": 1e-6})
    make_due()
    found.enqueue_due()
    run_all()

    assert recorded()[0].state == State.EXPIRED


def test_run__arguments_that_huey_would_take_for_its_own(settings: Any) -> None:
    task = ran(settings, function="tests.work.tasks.show_all", kwargs={"delay": 60, "id": "x"})

    assert background.result(task.task_id) == {"delay": 60, "id": "x"}


def test_run__what_cannot_be_recorded_is_told_once(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = recur(settings, sums={**DAILY, "args": [object()]}, others=DAILY)
    make_due("sums")
    make_due("others")
    found.enqueue_due()
    found.enqueue_due()

    [task] = recorded()
    assert row("others").last_task_id == task.pk
    assert row("sums").last_skipped_at is not None
    assert caplog.text.count('Schedule "sums": its task cannot be recorded.') == 1


def test_run__while_the_database_is_away_nothing_is_lost(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = recur(settings, sums=DAILY)
    make_due()

    def break_off(row: BackgroundTask) -> BackgroundTask:
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "insert", break_off)
        with pytest.raises(OperationalError):
            found.enqueue_due()
    found.enqueue_due()

    assert len(recorded()) == 1


# Decorated functions ------------------------------------------------------------------------

PERIODIC = f"{__name__}.tell"


def decorate(due: Any, **options: Any) -> Any:
    """Let a function recur by Huey's decorator."""

    def tell() -> str:
        return "told"

    return background.periodic_task(due, **options)(tell)


def test_periodic__runs_when_huey_says(settings: Any) -> None:
    decorate(crontab())
    decorate(crontab(minute="0", hour="0", day="1", month="1"), name="never")
    found = recur(settings)
    make_due(PERIODIC, ago=MINUTE)
    make_due(f"{__name__}.never", ago=MINUTE)

    found.enqueue_due()
    run_all()
    found.enqueue_due()

    [task] = recorded()
    assert (task.name, task.state) == (PERIODIC, State.SUCCEEDED)
    last = row(PERIODIC).last_due_at
    assert (last.second, last.microsecond) == (0, 0)
    assert utcnow() - 2 * MINUTE < last < utcnow()


def test_periodic__asks_any_function(settings: Any) -> None:
    asked: list[datetime.datetime] = []

    def is_due(moment: datetime.datetime) -> bool:
        asked.append(moment)
        return len(asked) == 2

    decorate(is_due)
    found = recur(settings)
    assert asked == []
    make_due(PERIODIC, ago=2 * MINUTE)

    found.enqueue_due()

    assert len(recorded()) == 1
    assert row(PERIODIC).last_due_at == asked[1].replace(tzinfo=datetime.UTC)


def test_periodic__a_function_that_fails_is_told(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def is_due(moment: datetime.datetime) -> bool:
        raise ValueError("no idea")

    decorate(is_due)
    found = recur(settings, sums=DAILY)
    make_due(PERIODIC)
    make_due("sums")
    found.enqueue_due()

    assert len(recorded()) == 1
    assert f'Schedule "{PERIODIC}": it cannot be asked whether it is due.' in caplog.text
    assert "no idea" in caplog.text


def test_periodic__missed_runs_of_a_function_are_caught_up_once(settings: Any) -> None:
    decorate(crontab(minute="*/10"))
    found = recur(settings)
    make_due(PERIODIC, ago=20 * HOUR)

    found.enqueue_due()

    assert len(recorded()) == 1


def test_periodic__a_text_knows_time_zones_and_what_is_missed(settings: Any) -> None:
    # Half a day from now, so that it has not just been due in fact.
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=12)
    there = then.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))
    decorate(f"0 {there.hour} * * *", time_zone="Asia/Tokyo", missed="skip", priority=4)
    found = recur(settings)
    assert row(PERIODIC).next_due_at.hour == then.hour
    make_due(PERIODIC, ago=HOUR)
    found.enqueue_due()
    assert recorded() == []
    make_due(PERIODIC)
    found.enqueue_due()

    [task] = recorded()
    assert task.priority == 4


def test_periodic__is_read_by_huey_as_ever() -> None:
    decorate("0 3 * * *")
    decorate(crontab(minute="0", hour="3"), name="by_huey")

    found = background.read_periodic(datetime.datetime(2026, 5, 5, 3, 0))

    assert sorted(task.name for task in found) == ["by_huey", "tell"]
    assert background.read_periodic(datetime.datetime(2026, 5, 5, 4, 0)) == []


def test_periodic__is_revoked_and_restored(settings: Any) -> None:
    recurring = decorate(crontab())
    found = recur(settings)

    def states() -> list[str]:
        Schedule.objects.update(last_due_at=None)
        make_due(PERIODIC)
        found.enqueue_due()
        run_all()
        return [task.state for task in recorded()]

    recurring.revoke()
    assert states() == [State.CANCELLED]
    recurring.restore()
    assert states() == [State.CANCELLED, State.SUCCEEDED]
    recurring.revoke(revoke_once=True)
    assert states()[2:] == [State.CANCELLED]
    assert states()[3:] == [State.SUCCEEDED]


def test_periodic__is_called_like_any_task() -> None:
    recurring = decorate(crontab())

    recurring()
    run_all()

    assert [task.state for task in recorded()] == [State.SUCCEEDED]


def test_periodic__that_is_unregistered_recurs_no_more(settings: Any) -> None:
    recurring = decorate(crontab())
    found = recur(settings, sums=DAILY)
    recurring.unregister()
    make_due(PERIODIC)

    found.enqueue_due()

    assert recorded() == []


def test_periodic__is_overruled_by_an_entry_of_its_name(settings: Any) -> None:
    decorate(crontab())

    recur(settings, **{PERIODIC: DAILY})

    assert row(PERIODIC).crontab == "0 3 * * *"


def test_periodic__mistakes() -> None:
    with pytest.raises(ValueError, match=r"^missed should be .once. or .skip., but is 'twice'"):
        decorate(crontab(), missed="twice")
