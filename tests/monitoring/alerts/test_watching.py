"""When a worker looks, what that costs, and that it harms nothing."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tests.admin.making import make_task
from tests.monitoring.alerts.conftest import Configure, ago
from tests.processes import wait_until
from wagtail_async_hooks import background, chores, ledger, signals
from wagtail_async_hooks.models import AlertTarget, BackgroundTask
from wagtail_async_hooks.monitoring.alerts import conditions, sending, watching
from wagtail_async_hooks.monitoring.alerts.watching import Watch
from wagtail_async_hooks.types import Alert, State
from wagtail_async_hooks.worker import identity
from wagtail_async_hooks.worker.identity import Registration

pytestmark = pytest.mark.usefixtures("configure")


class Clock:
    """The monotonic clock of the process, which stands still."""

    now = 1_000.0

    def monotonic(self) -> float:
        """See the module ``time``."""
        return self.now

    def go(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def stands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still."""
    stands = Clock()
    monkeypatch.setattr("wagtail_async_hooks.monitoring.alerts.watching.time", stands)
    return stands


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which targets are told something, by whom it is not done: the transaction is the test's."""
    told: list[str] = []
    monkeypatch.setattr(Watch, "_send", lambda self, target, *_: told.append(target))
    return told


@pytest.fixture
def watches(db: None, stands: Clock) -> Iterator[list[Watch]]:
    """The parts of two workers, the oldest first."""
    rows = [identity.register(1, "", 0) for _ in range(2)]
    made = [Watch(Registration(row, background)) for row in rows]
    yield made
    for watch in made:
        signals.failed.disconnect(watch._on_failed)


def queries(watch: Watch) -> int:
    """Return how many queries a look takes."""
    with CaptureQueriesContext(connection) as captured:
        watch.do()
    return len(captured)


def fail() -> None:
    """Have a task fail, in this process."""
    row = make_task(state=State.FAILED, error_type="shop.Timeout")
    signals.announce(
        signals.failed, "x", task=ledger.info(row), duration=1, error="", error_type=""
    )


def test_idle_worker__asks_little(watches: list[Watch], stands: Clock) -> None:
    oldest, other = watches
    for watch in watches:
        watch.do()
    assert [queries(watch) for watch in watches] == [0, 0]  # it is not time
    stands.go(watching.INTERVAL)
    # Which worker is the oldest; what waits, and who lives; what was told.
    assert [queries(oldest), queries(other)] == [3, 1]
    stands.go(watching.INTERVAL - 1)
    assert [queries(watch) for watch in watches] == [0, 0]


def test_failure__is_looked_at_soon_by_whoever_ran_it(
    watches: list[Watch], stands: Clock, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, other = watches
    for watch in watches:
        watch.do()
    signals.failed.disconnect(oldest._on_failed)  # it failed in another process
    stands.go(watching.SOON)
    fail()
    oldest.do()
    assert not told
    other.do()
    assert len(told) == 1
    for _ in range(20):  # many more do not have it look all the time
        fail()
        stands.go(0.5)
        assert queries(other) == 0
    stands.go(watching.SOON)
    other.do()
    assert len(told) == 2


def test_failure__is_looked_at_less_often_where_that_takes_long(
    watches: list[Watch], stands: Clock, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_long(now: datetime.datetime) -> conditions.Found:
        stands.go(0.5)
        return conditions.NOTHING

    watch = watches[1]
    watch.do()
    monkeypatch.setattr(conditions, "of_errors", take_long)
    stands.go(watching.SOON)
    fail()
    watch.do()
    fail()
    for seconds, number in ((watching.SOON, 0), (30, 0), (10, 1)):
        stands.go(seconds)
        assert bool(queries(watch)) is bool(number)


def test_failure__of_a_dead_process_is_found_by_the_oldest(
    watches: list[Watch], stands: Clock, told: list[str]
) -> None:
    for watch in watches:
        watch.do()
    make_task(state=State.FAILED, error_type="shop.Timeout")
    stands.go(watching.INTERVAL)
    for watch in watches:
        watch.do()
    assert not told
    stands.go(watching.ERRORS_INTERVAL)
    for watch in watches:
        watch.do()
    assert len(told) == 1


def test_constant_failures__do_not_keep_the_oldest_from_looking_at_workers(
    watches: list[Watch], stands: Clock, told: list[str], configure: Configure
) -> None:
    configure(new_errors=False, failure_rate=None)
    oldest = watches[0]
    oldest.do()
    make_task(state=State.WAITING, enqueued_at=ago(hours=1))
    for _ in range(int(watching.INTERVAL / watching.SOON)):
        fail()
        stands.go(watching.SOON)
        oldest.do()
    assert len(told) == 1


def test_database_that_fails__is_logged_once_and_harms_nobody(
    watches: list[Watch],
    stands: Clock,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OperationalError("the table is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "alert_records", refuse)
        for _ in range(3):
            stands.go(watching.INTERVAL)
            watches[0].do()
    assert len([m for m in caplog.messages if "the table is gone" in m]) == 1
    make_task(state=State.WAITING, enqueued_at=ago(hours=1))
    stands.go(watching.INTERVAL)
    watches[0].do()
    assert len(told) == 1


@pytest.mark.parametrize(
    "given", [{"BACKEND": "database"}, {"BACKEND": "", "ALERTS": {"to": ["a@example.com"]}}]
)
def test_nobody_to_tell__nothing_watches(db: None, settings: Any, given: dict[str, Any]) -> None:
    settings.WAGTAIL_TASKS = given
    registration = Registration(identity.register(1, "", 0), background)
    assert chores.of_worker(registration) == []


def test_somebody_to_tell__a_worker_watches(db: None) -> None:
    registration = Registration(identity.register(1, "", 0), background)
    [watch] = chores.of_worker(registration)
    assert isinstance(watch, Watch)
    watch.end()


@pytest.mark.slow
def test_function_that_hangs__is_called_once_at_a_time(
    committed_db: None,
    stands: Clock,
    received: list[Alert],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, calls = threading.Event(), []

    def hang(target: str, alert: Alert) -> None:
        calls.append(target)
        gate.wait(60)

    monkeypatch.setattr(sending, "send", hang)
    watch = Watch(Registration(identity.register(1, "", 0), background))
    make_task(state=State.WAITING, enqueued_at=ago(hours=1))
    watch.do()
    wait_until(lambda: calls, "it is called")
    AlertTarget.objects.update(held_until=ago())  # it hangs for longer than anybody holds it
    for _ in range(3):
        stands.go(watching.INTERVAL)
        watch.do()
    gate.set()
    watch.end()
    assert len(calls) == 1
    assert not AlertTarget.objects.get().holder


def test_end__looks_at_what_has_just_failed(
    watches: list[Watch], stands: Clock, told: list[str]
) -> None:
    for watch in watches:
        watch.do()
    fail()
    watches[1].end()
    assert len(told) == 1
    BackgroundTask.objects.all().delete()
    fail()  # it hears no more
    assert not watches[1]._has_failed


def test_conditions__take_few_queries(watches: list[Watch]) -> None:
    for number in range(5):
        make_task(state=State.FAILED, error_type=f"shop.Timeout{number}")
    now = ledger.clock()
    with CaptureQueriesContext(connection) as captured:
        conditions.of_errors(now)
    # The failed tasks, the releases, what is muted, and how tasks have ended; the clock.
    assert len(captured) <= 5
