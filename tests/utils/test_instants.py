"""Tests of instants: times of ours mean what they mean, whatever the site says of time zones."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Any, Final

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.db.models import Max, Min
from django.utils import timezone

from tests.draining import run_all
from tests.work import tasks, tasks_of_package
from wagtail_async_hooks import background, conf, ledger
from wagtail_async_hooks.exceptions import Snooze
from wagtail_async_hooks.integrations import scheduled_publishing
from wagtail_async_hooks.models import BackgroundTask, Schedule, StoredValue, Worker
from wagtail_async_hooks.monitoring import overview
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.testing import BackgroundTasks
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.database.instants import NOW, DatabaseNow, FromNow, InstantField
from wagtail_async_hooks.utils.time import as_django, aware, elapsed_text, local_text, utc_text
from wagtail_async_hooks.worker import schedule, scheduler
from wagtail_async_hooks.worker.pruning import prune
from wagtail_async_hooks.worker.scheduler import Scheduler

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("registries")]

BERLIN: Final = zoneinfo.ZoneInfo("Europe/Berlin")
HOUR: Final = datetime.timedelta(hours=1)
MINUTE: Final = datetime.timedelta(minutes=1)
FIRST: Final = datetime.datetime(2026, 10, 25, 0, 30, 0, 125, tzinfo=datetime.UTC)
"""In Berlin the clock shows half past two for the first time on that day."""
SECOND: Final = FIRST + HOUR
SPRING: Final = datetime.datetime(2026, 3, 29, 0, 55, tzinfo=datetime.UTC)
"""In Berlin it is five to two, and in five minutes it is three."""

SITES: Final = {
    "naive in Berlin": (False, "Europe/Berlin"),
    "naive in New York": (False, "America/New_York"),
    "naive in UTC": (False, "UTC"),
    "aware in Berlin": (True, "Europe/Berlin"),
}


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, settings: Any) -> None:
    """Sites whose settings say different things of times."""
    settings.USE_TZ, settings.TIME_ZONE = SITES[request.param]


@pytest.fixture
def berlin(settings: Any) -> None:
    """A site whose times are local ones, of which an hour comes twice a year."""
    settings.USE_TZ, settings.TIME_ZONE = False, "Europe/Berlin"


def row(**columns: Any) -> BackgroundTask:
    """Record a row."""
    columns = {"task_id": "x", "message": b"", "enqueued_at": FIRST, **columns}
    made: BackgroundTask = BackgroundTask.objects.create(**columns)
    return made


def seconds_from_now(moment: datetime.datetime) -> float:
    """Return how long a time is away."""
    return (moment - datetime.datetime.now(datetime.UTC)).total_seconds()


# The field ----------------------------------------------------------------------------------


def test_models__have_no_other_times() -> None:
    config = apps.get_app_config("wagtail_async_hooks")
    times = [
        field
        for model in config.get_models()
        for field in model._meta.local_fields
        if isinstance(field, models.DateTimeField)
    ]
    assert len(times) >= 17
    assert all(isinstance(field, InstantField) for field in times)


@pytest.mark.parametrize("moment", [FIRST, SECOND, SPRING, SPRING + HOUR])
@pytest.mark.usefixtures("site")
def test_field__gives_back_what_it_was_given(moment: datetime.datetime) -> None:
    pk = row(run_at=moment).pk
    found = BackgroundTask.objects.get(pk=pk).run_at
    assert (found, found.utcoffset()) == (moment, datetime.timedelta())

    BackgroundTask.objects.filter(pk=pk).update(run_at=moment + HOUR, enqueued_at=moment)
    [(run_at, enqueued_at)] = BackgroundTask.objects.values_list("run_at", "enqueued_at")
    assert (run_at, enqueued_at) == (moment + HOUR, moment)


@pytest.mark.usefixtures("site")
def test_field__compares_instants() -> None:
    first, second = row(run_at=FIRST).pk, row(run_at=SECOND).pk
    rows = BackgroundTask.objects.order_by("run_at").values_list("pk", flat=True)
    assert list(rows) == [first, second]
    assert list(rows.filter(run_at=FIRST)) == [first]
    assert list(rows.filter(run_at__lt=SECOND)) == [first]
    assert list(rows.filter(run_at__gt=FIRST)) == [second]
    assert list(rows.filter(run_at__in=[SECOND])) == [second]
    assert list(rows.filter(run_at__range=(FIRST + MINUTE, SECOND))) == [second]
    ends = BackgroundTask.objects.aggregate(first=Min("run_at"), last=Max("run_at"))
    assert (ends["first"], ends["last"]) == (FIRST, SECOND)


def test_field__takes_naive_values_for_the_sites(berlin: None) -> None:
    local = SECOND.astimezone(BERLIN).replace(tzinfo=None)
    assert local.fold
    assert row(run_at=local).pk
    assert BackgroundTask.objects.get().run_at == SECOND
    assert BackgroundTask.objects.filter(run_at__gte=local.replace(fold=0)).exists()
    assert not BackgroundTask.objects.filter(run_at__lt=local).exists()
    assert BackgroundTask.objects.filter(run_at__lt=timezone.now()).exists() == (
        timezone.now() > local
    )


def test_field__is_the_same_for_a_site_that_changes_its_mind(settings: Any) -> None:
    for number, (use_tz, zone) in enumerate(SITES.values()):
        settings.USE_TZ, settings.TIME_ZONE = use_tz, zone
        row(task_id=str(number), run_at=SECOND)
        assert {found.run_at for found in BackgroundTask.objects.all()} == {SECOND}


def set_zone_of_connection(name: str | None) -> None:
    """Do what ``DATABASES["default"]["TIME_ZONE"]`` would have done."""
    connection.settings_dict["TIME_ZONE"] = name
    for known in ("timezone", "timezone_name"):
        connection.__dict__.pop(known, None)
    connection.ensure_timezone()


def test_field__whatever_the_zone_of_the_connection() -> None:
    pk = row(run_at=SECOND).pk
    set_zone_of_connection("Asia/Tokyo")
    try:
        assert BackgroundTask.objects.get(pk=pk).run_at == SECOND
        assert BackgroundTask.objects.filter(run_at=SECOND).exists()
        assert row(run_at=FIRST).pk
        assert abs(seconds_from_now(ledger.clock())) < 60
    finally:
        set_zone_of_connection(None)
    assert BackgroundTask.objects.latest("pk").run_at == FIRST


@pytest.mark.skipif(connection.vendor == "sqlite", reason="a server's")
@pytest.mark.usefixtures("site")
def test_clock__whatever_the_zone_of_the_session() -> None:
    statement = {
        "mysql": "SET time_zone = %s",
        "postgresql": "SELECT set_config('TimeZone', %s, false)",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement, ["+05:00"])
    try:
        pk = row(run_at=SECOND, enqueued_at=NOW).pk
        found = BackgroundTask.objects.annotate(now=DatabaseNow()).get(pk=pk)
        assert found.run_at == SECOND
        assert abs(seconds_from_now(found.enqueued_at)) < 60
        assert abs(seconds_from_now(found.now)) < 60
        assert abs(seconds_from_now(ledger.clock())) < 60
    finally:
        with connection.cursor() as cursor:
            cursor.execute(statement, ["UTC" if connection.vendor != "mysql" else "SYSTEM"])


@pytest.mark.usefixtures("site")
def test_clock__tells_the_time() -> None:
    assert abs(seconds_from_now(ledger.clock())) < 60
    pk = row(run_at=FromNow(90), latest_at=FromNow(-90), enqueued_at=NOW).pk
    found = BackgroundTask.objects.annotate(now=DatabaseNow()).get(pk=pk)
    assert abs(seconds_from_now(found.now)) < 60
    assert 85 < seconds_from_now(found.run_at) < 95
    assert -95 < seconds_from_now(found.latest_at) < -85
    assert BackgroundTask.objects.filter(run_at__gt=DatabaseNow(), latest_at__lt=NOW).exists()


@pytest.mark.usefixtures("site")
def test_clock__of_a_delay_beyond_all_calendars() -> None:
    for seconds in (1e12, -1e12):
        ledger.insert(
            {"task_id": "y", "message": b"", "enqueued_at": NOW, "run_at": FromNow(seconds)}
        )
        row(run_at=FromNow(seconds))
    later, _, earlier, _ = BackgroundTask.objects.order_by("pk").values_list("run_at", flat=True)
    assert later.year > 2100
    assert earlier.year < 1950


# What is recorded ---------------------------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_recorded__delays_and_ends() -> None:
    tasks.add.schedule((1, 2), delay=600, expires=1200)
    named = datetime.datetime.now(datetime.UTC) + 2 * HOUR
    tasks.add.schedule((1, 2), eta=named, expires=named + HOUR)
    later, at = BackgroundTask.objects.order_by("pk")
    assert abs(seconds_from_now(later.enqueued_at)) < 60
    assert 590 < seconds_from_now(later.run_at) <= 600
    assert 1190 < seconds_from_now(later.expires_at) <= 1200
    assert (at.run_at, at.expires_at) == (named, named + HOUR)
    assert {later.state, at.state} == {State.SCHEDULED}


@pytest.mark.usefixtures("site")
def test_recorded__many_at_once() -> None:
    named = datetime.datetime.now(datetime.UTC) + HOUR
    calls = [tasks.add.s(1, 2), tasks.add.s(1, 2, delay=600), tasks.add.s(1, 2, eta=named)]
    background.enqueue_many([*calls, tasks.add.s(1, 2, eta=named - 2 * HOUR)])
    found = list(BackgroundTask.objects.order_by("pk"))
    assert [each.state for each in found] == ["waiting", "scheduled", "scheduled", "waiting"]
    assert found[0].run_at is None
    assert 590 < seconds_from_now(found[1].run_at) <= 600
    assert [each.run_at for each in found[2:]] == [named, named - 2 * HOUR]
    assert all(abs(seconds_from_now(each.enqueued_at)) < 60 for each in found)


@pytest.mark.usefixtures("site")
def test_run__what_is_due_and_no_more() -> None:
    tasks.add.schedule((1, 2), delay=1800)
    tasks.add.schedule((3, 4), delay=600)
    assert ledger.promote_due() == []
    last = BackgroundTask.objects.latest("pk").pk
    BackgroundTask.objects.filter(pk=last).update(run_at=datetime.datetime.now(datetime.UTC))
    assert [pk for pk, _ in ledger.promote_due()] == [last]
    run_all()
    done = BackgroundTask.objects.get(pk=last)
    assert done.state == State.SUCCEEDED
    assert done.enqueued_at <= done.started_at <= done.finished_at
    assert abs(seconds_from_now(done.finished_at)) < 60


@pytest.mark.usefixtures("site")
def test_run__what_expires() -> None:
    background.enqueue(tasks.add.s(1, 2, expires=1800))
    background.enqueue(tasks.add.s(1, 2, expires=1800))
    gone = BackgroundTask.objects.latest("pk")
    BackgroundTask.objects.filter(pk=gone.pk).update(
        expires_at=datetime.datetime.now(datetime.UTC) - MINUTE
    )
    run_all()
    states = list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))
    assert states == [State.SUCCEEDED, State.EXPIRED]
    control.retry([gone.pk])  # then it does not expire
    run_all()
    assert BackgroundTask.objects.get(pk=gone.pk).state == State.SUCCEEDED


@pytest.mark.usefixtures("site")
def test_run__a_retry_after_its_delay() -> None:
    background.enqueue(tasks.fail.s(retries=1, retry_delay=600))
    run_all()
    found = BackgroundTask.objects.get()
    assert found.state == State.SCHEDULED
    assert 590 < seconds_from_now(found.run_at) < 670
    [attempt] = ledger.attempts(found.pk)
    assert abs(seconds_from_now(attempt.ended_at)) < 60
    assert attempt.started_at <= attempt.ended_at


@pytest.mark.usefixtures("site")
def test_result__is_told_as_django_tells_times(settings: Any) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}
    }
    result = tasks_of_package.add.enqueue(1, 2)
    run_all()
    result.refresh()
    for moment in (result.enqueued_at, result.started_at, result.finished_at):
        assert timezone.is_aware(moment) == settings.USE_TZ
        assert abs(timezone.now() - moment) < MINUTE


@pytest.mark.usefixtures("site")
def test_result__of_a_task_for_later(settings: Any) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}
    }
    tasks_of_package.add.using(run_after=timezone.now() + HOUR).enqueue(1, 2)
    assert 3590 < seconds_from_now(BackgroundTask.objects.get().run_at) <= 3600


# What is kept and shown ---------------------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_workers__live_and_die_by_the_clock() -> None:
    worker = ledger.register_worker(
        Worker(host="here", process_space="", pid=1, threads=1, release="x")
    )
    assert abs(seconds_from_now(worker.started_at)) < 60
    assert overview.workers_alive() == [worker]
    assert ledger.silent_workers() == []
    assert elapsed_text(worker.started_at, ledger.clock()).endswith(" s")
    Worker.objects.update(heartbeat_at=datetime.datetime.now(datetime.UTC) - MINUTE)
    assert overview.workers_alive() == []
    assert ledger.silent_workers() == [worker.pk]
    ledger.beat(worker.pk)
    assert overview.workers_alive() == [worker]


@pytest.mark.usefixtures("site")
def test_history__goes_by_its_age(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HISTORY": {"succeeded": 1 / 24}}
    now = datetime.datetime.now(datetime.UTC)
    for ago in (61, 59):
        moment = now - ago * MINUTE
        row(task_id=str(ago), state="succeeded", enqueued_at=moment, finished_at=moment)
    assert prune(conf.current().history) == 1
    assert BackgroundTask.objects.get().task_id == "59"


@pytest.mark.usefixtures("site")
def test_control__select_by_age() -> None:
    now = datetime.datetime.now(datetime.UTC)
    old, _ = row(enqueued_at=now - 61 * MINUTE), row(enqueued_at=now - 59 * MINUTE)
    assert list(control.select(older_than=HOUR)) == [old]


@pytest.mark.usefixtures("site")
def test_values__expire_in_time() -> None:
    assert background.storage.put_if_empty("a lock", b"1", ttl=1800)
    assert not background.storage.put_if_empty("a lock", b"1", ttl=1800)
    StoredValue.objects.update(expires_at=datetime.datetime.now(datetime.UTC) - MINUTE)
    assert background.storage.put_if_empty("a lock", b"1", ttl=1800)


def test_shown__with_the_difference_from_utc(berlin: None, capsys: Any) -> None:
    assert local_text(FIRST) == "2026-10-25 02:30:00+02:00"
    assert local_text(SECOND) == "2026-10-25 02:30:00+01:00"
    assert utc_text(SECOND) == "2026-10-25T01:30:00.000125+00:00"
    pk = row(enqueued_at=SECOND, state="waiting").pk
    call_command("wagtail_tasks", "show", str(pk))
    assert "2026-10-25 02:30:00+01:00" in capsys.readouterr().out
    with pytest.raises(CommandError, match="Nobody works"):
        call_command("wagtail_tasks", "status", "--json")
    assert "2026-10-25T01:30:00.000125+00:00" in capsys.readouterr().out


@pytest.mark.usefixtures("site")
def test_testing__lets_time_pass(settings: Any) -> None:
    with BackgroundTasks() as recorded:
        tasks.add.schedule((1, 2), delay=3600, expires=7200)
        recorded.travel_to(timezone.now() + 59 * MINUTE)
        assert recorded.run() == []
        recorded.travel_to(timezone.now() + 61 * MINUTE)
        [ran] = recorded.run()
        assert ran.state == State.SUCCEEDED
        background.enqueue(tasks.add.s(1, 2, expires=3600))
        recorded.advance(3660)
        [ran] = recorded.run()
        assert ran.state == State.EXPIRED
        tasks.add.schedule((1, 2), delay=3600)
        assert [each.state for each in recorded.run(scheduled=True)] == [State.SUCCEEDED]


# The schedule -------------------------------------------------------------------------------


class Wall:
    """The database's clock, as a test sets it."""

    now: datetime.datetime


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> type[Wall]:
    """Let the scheduler read a clock that the test sets."""
    read = scheduler._read
    monkeypatch.setattr(scheduler, "_read", lambda names: (read(names)[0], Wall.now))
    return Wall


def kept(
    settings: Any, wall: type[Wall], crontab: str, begin: datetime.datetime, minutes: int
) -> list[datetime.datetime]:
    """Return which times are kept, each told by the task that was recorded for it."""
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "SCHEDULE": {
            "sums": {"function": "tests.work.tasks.add", "args": [1, 2], "crontab": crontab}
        },
    }
    looks, found = Scheduler(), []
    for number in range(minutes * 2):
        wall.now = begin + number * datetime.timedelta(seconds=30)
        looks.enqueue_due()
        run_all()
        entry = Schedule.objects.get()
        assert BackgroundTask.objects.count() - len(found) in (0, 1)
        if BackgroundTask.objects.count() > len(found):
            found.append(entry.last_due_at)
    return found


@pytest.mark.usefixtures("site")
def test_schedule__in_the_hour_that_comes_twice(settings: Any, wall: type[Wall]) -> None:
    begin = datetime.datetime(2026, 10, 24, 23, 58, tzinfo=datetime.UTC)
    times = kept(settings, wall, "*/5 * * * *", begin, 130)
    zero = datetime.datetime(2026, 10, 25, tzinfo=datetime.UTC)
    assert times == [zero + number * 5 * MINUTE for number in range(26)]
    assert BackgroundTask.objects.count() == 26


@pytest.mark.usefixtures("site")
def test_schedule__in_the_hour_that_does_not_come(settings: Any, wall: type[Wall]) -> None:
    times = kept(settings, wall, "*/5 * * * *", SPRING - MINUTE, 70)
    assert times == [SPRING + number * 5 * MINUTE for number in range(14)]


def test_schedule__of_certain_hours(berlin: None, settings: Any, wall: type[Wall]) -> None:
    begin = datetime.datetime(2026, 10, 24, 23, 58, tzinfo=datetime.UTC)
    times = kept(settings, wall, "30 2 * * *", begin, 150)
    assert times == [FIRST.replace(microsecond=0)]


@pytest.mark.usefixtures("site")
def test_schedule__tells_instants(settings: Any, wall: type[Wall]) -> None:
    begin = datetime.datetime(2026, 10, 25, 0, 58, tzinfo=datetime.UTC)
    kept(settings, wall, "*/5 * * * *", begin, 4)
    [entry] = schedule.entries()
    assert entry.last_due_at == begin + 2 * MINUTE
    assert entry.next_due_at == begin + 7 * MINUTE


# Wagtail's own times ------------------------------------------------------------------------


def test_go_live__in_the_hour_that_comes_twice(
    berlin: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = datetime.datetime(2026, 10, 25, 2, 30)
    for shown, waits in ((due.replace(minute=40), False), (due.replace(minute=10, fold=1), True)):
        monkeypatch.setattr(timezone, "now", lambda shown=shown: shown)
        if waits:  # Wagtail would plan it anew, and that again, as often as it is asked
            with pytest.raises(Snooze) as raised:
                scheduled_publishing._wait_for_wagtail(due)
            assert raised.value.seconds == scheduled_publishing.OTHERS_TURN
        else:
            scheduled_publishing._wait_for_wagtail(due)


def test_conversions(berlin: None) -> None:
    local = datetime.datetime(2026, 10, 25, 2, 30, 0, 125)
    assert aware(local) == FIRST
    assert aware(local.replace(fold=1)) == SECOND
    assert aware(SECOND.astimezone(BERLIN)) == SECOND
    assert as_django(SECOND) == local.replace(fold=1)
    assert as_django(None) is None
    assert clock.now().utcoffset() == datetime.timedelta()
