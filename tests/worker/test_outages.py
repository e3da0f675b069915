"""Errors of the database that last: logged once, tried again each second, told by drains."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import DatabaseError, DataError, InternalError, OperationalError, connection

from tests.faults.harness import SMALL, Harness, backend
from tests.faults.refusing import PRIORITY
from tests.processes import wait_until
from tests.work.fault_tasks import work
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.utils.database import outages
from wagtail_async_hooks.utils.database.outages import (
    CONTENTION_INTERVAL,
    OUTAGE_INTERVAL,
    Outage,
    close_connections,
    persist,
)

TABLE = BackgroundTask._meta.db_table
BACK = "The database answers again"


def with_code(code: int) -> DatabaseError:
    return OperationalError(code, "…")


READ_ONLY, GONE, LOCKED, NO_TABLE = (with_code(code) for code in (1290, 2006, 1205, 1146))


@pytest.fixture
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged; the connections of the test itself stay open."""
    monkeypatch.setattr(outages, "close_connections", lambda: True)
    with caplog.at_level(logging.INFO):
        yield caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records]


def test_outage__is_logged_once_and_its_end_once(log: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    assert [outage.begin(READ_ONLY) for _ in range(100)] == [OUTAGE_INTERVAL] * 100
    assert outage.seconds > 0
    assert outage.newest.startswith("The database refuses writes (read-only): OperationalError")
    outage.end()
    outage.end()
    begun, ended = lines(log)
    assert begun.startswith("The database refuses writes (read-only); trying again every second: ")
    assert re.fullmatch(r"The database answers again, after \d+ s\.", ended)
    assert outage.seconds == 0


def test_outage__ends_when_all_parts_got_on(log: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    outage.begin(READ_ONLY, "claims")
    outage.begin(READ_ONLY, "maintenance")
    for _ in range(10):
        outage.end("maintenance")
        outage.begin(READ_ONLY, "maintenance")
    outage.end("claims")
    assert len(lines(log)) == 1
    outage.end("maintenance")
    assert len(lines(log)) == 2


def test_outage__what_comes_to_be_wrong_besides_is_logged(log: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    for _ in range(10):
        outage.begin(READ_ONLY, "claims")
        outage.begin(NO_TABLE, "maintenance")
    assert [line.split(";")[0][:30] for line in lines(log)] == [
        "The database refuses writes (r",
        "The database lacks a table, a ",
    ]


def test_outage__is_logged_again_after_a_while(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage()
    outage.begin(READ_ONLY)
    monkeypatch.setattr(outages, "REMINDER_INTERVAL", -1)
    outage.begin(READ_ONLY)
    assert re.search(r"\(read-only\), for \d+ s now; trying again", lines(log)[1])


def test_outage__a_stale_connection_is_replaced_without_a_word(
    log: pytest.LogCaptureFixture,
) -> None:
    outage = Outage()
    assert outage.begin(GONE) == CONTENTION_INTERVAL
    outage.end()
    assert lines(log) == []


def test_outage__connections_are_replaced_now_and_then_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outage = Outage()
    closed: list[int] = []
    monkeypatch.setattr(outages, "close_connections", lambda: closed.append(1) or True)
    for _ in range(50):
        outage.begin(READ_ONLY)
    assert len(closed) == 1
    assert outage.begin(GONE, "another") == CONTENTION_INTERVAL
    assert outage.begin(GONE, "another") == OUTAGE_INTERVAL
    assert len(closed) == 3


def test_contention__is_quick_and_quiet_unless_it_lasts(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage()
    assert {outage.begin(LOCKED) for _ in range(20)} == {CONTENTION_INTERVAL}
    outage.end()
    assert lines(log) == []
    monkeypatch.setattr(outages, "CONTENTION_TIMEOUT", 0)
    assert outage.begin(LOCKED) == OUTAGE_INTERVAL
    assert "Another transaction is in the way" in lines(log)[0]


def test_outage__a_part_that_leaves_says_nothing_more(log: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    outage.begin(READ_ONLY, "a thread")
    outage.leave("a thread")
    assert len(lines(log)) == 1
    assert outage.seconds == 0


def test_outage__an_error_of_no_database_has_a_traceback(log: pytest.LogCaptureFixture) -> None:
    Outage().begin(TypeError("of ours"))
    assert log.records[0].exc_info is not None
    assert "an error of its own" in log.text


def test_close_connections__tells_whether_one_was_open(committed_db: None) -> None:
    connection.ensure_connection()
    assert close_connections()
    assert connection.connection is None


def test_persist__gives_up_after_its_patience(
    committed_db: None, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outages, "OUTAGE_INTERVAL", 0.01)
    outage = Outage()

    def fail() -> None:
        raise InternalError("25006")

    with pytest.raises(InternalError):
        persist(fail, outage, 0.05)
    assert outage.seconds == 0
    with pytest.raises(TypeError):
        persist(lambda: int([]), outage, 10)  # type: ignore[call-overload]
    assert persist(lambda: 5, outage, 10) == 5
    with pytest.raises(DataError):
        persist(lambda: (_ for _ in ()).throw(DataError("…")), outage, 0)


# Real workers on a database that does not work -----------------------------------------------


class Fault:
    """Something that lasts: how to bring it about, how to repair it, and what is said of it."""

    def __init__(self, vendor: str, words: str, damage: list[str], repair: list[str]) -> None:
        self.vendor, self.words, self.damage, self.repair = vendor, words, damage, repair

    def __str__(self) -> str:
        return f"{self.vendor}-{self.words}"

    @contextmanager
    def done(self) -> Iterator[None]:
        if self.vendor not in ("any", connection.vendor):
            pytest.skip(f"a fault of {self.vendor}")
        self._run(self.damage)
        try:
            yield
        finally:
            self._run(self.repair)

    @staticmethod
    def _run(statements: list[str]) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


STEP = "wagtail_async_hooks_step"
FULL_ON_POSTGRESQL = (
    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file'; END $$"
)
FAULTS = [
    Fault(
        "any",
        "lacks a table",
        [f"ALTER TABLE {TABLE} RENAME TO {TABLE}_away"],
        [f"ALTER TABLE {TABLE}_away RENAME TO {TABLE}"],
    ),
    Fault(
        "postgresql",
        "lacks a table, a column or a function",
        [f"ALTER FUNCTION {STEP} RENAME TO {STEP}_away"],
        [f"ALTER FUNCTION {STEP}_away RENAME TO {STEP}"],
    ),
    Fault(
        "postgresql",
        "has no space left",
        [
            FULL_ON_POSTGRESQL,
            f"CREATE TRIGGER full_disk BEFORE UPDATE ON {TABLE} EXECUTE FUNCTION full_disk()",
        ],
        [f"DROP TRIGGER full_disk ON {TABLE}", "DROP FUNCTION full_disk"],
    ),
    Fault(
        "mysql",
        "has no space left",
        [
            f"CREATE TRIGGER full_disk BEFORE UPDATE ON {TABLE} FOR EACH ROW SIGNAL "
            "SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'Disk full'"
        ],
        ["DROP TRIGGER full_disk"],
    ),
]


@pytest.fixture
def harness(committed_db: None, tmp_path: Path) -> Iterator[Harness]:
    with backend(None), Harness(tmp_path, SMALL) as harness:
        yield harness


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_worker__waits_for_what_lasts_and_says_so_once(harness: Harness, fault: Fault) -> None:
    worker = harness.ready_worker(threads=2)
    harness.submit(4)
    harness.wait_for_ends(4)
    harness.submit(4)
    with fault.done():
        wait_until(lambda: fault.words in worker.said(), "it is logged")
        time.sleep(2 * OUTAGE_INTERVAL)
    harness.submit(2)
    harness.wait_until_done()
    wait_until(lambda: BACK in worker.said(), "it is over")
    harness.stop_calmly(worker)
    said = worker.said()
    assert said.count(fault.words) == said.count(BACK) == 1, said
    assert "Traceback" not in said, said
    assert set(BackgroundTask.objects.values_list("state", "attempt")) == {("succeeded", 1)}


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_drain__gives_up_with_a_sentence(harness: Harness, processes: str) -> None:
    fault = FAULTS[1] if connection.vendor == "postgresql" else FAULTS[-1]
    if connection.vendor == "sqlite":
        fault = Fault(
            "sqlite",
            "lacks a table",
            [f"ALTER TABLE {TABLE} RENAME COLUMN slot TO away"],
            [f"ALTER TABLE {TABLE} RENAME COLUMN away TO slot"],
        )
    harness.submit(4)
    with fault.done():
        options = ("--drain", "--processes", processes)
        worker = harness.start("tests.faults.impatient_drain", *options)
        assert worker.wait() == 1, worker.said()
    said = worker.said()
    assert fault.words in said
    assert "gives up" in said
    assert len([line for line in said.splitlines() if "Error" in line]) <= 8, said
    assert "Traceback" not in said, said
    assert set(BackgroundTask.objects.values_list("state", flat=True)) == {"waiting"}


@pytest.mark.slow
def test_worker__that_starts_while_nothing_can_be_written_waits(harness: Harness) -> None:
    workers = "wagtail_async_hooks_worker"
    fault = Fault(
        "any",
        "lacks a table",
        [f"ALTER TABLE {workers} RENAME COLUMN queues TO away"],
        [f"ALTER TABLE {workers} RENAME COLUMN away TO queues"],
    )
    work(str(harness.traces), 1, 0.0, priority=PRIORITY)
    with fault.done():
        worker = harness.start_worker()
        wait_until(lambda: fault.words in worker.said(), "it says so")
        assert worker.is_running()
    harness.wait_until_done()
    harness.stop_calmly(worker)
    assert worker.said().count(fault.words) == worker.said().count(BACK) == 1, worker.said()
    assert "Traceback" not in worker.said()
