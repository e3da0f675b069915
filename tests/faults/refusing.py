"""Outcomes that the database refuses: by a trigger, as by a rule of the site's or a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection

from tests.faults.harness import THREADS, Harness, Result, rows
from tests.processes import wait_until

MAKE: Final = {
    "sqlite": [
        "CREATE TRIGGER refusing BEFORE UPDATE ON {table} WHEN {when} "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refusing() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE check_violation USING MESSAGE = 'refused'; END $$",
        "CREATE TRIGGER refusing BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({when}) "
        "EXECUTE FUNCTION refusing()",
    ],
    "mysql": [
        "CREATE TRIGGER refusing BEFORE UPDATE ON {table} FOR EACH ROW BEGIN "
        "IF {when} THEN SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406, "
        "MESSAGE_TEXT = 'refused'; END IF; END"
    ],
}
DROP: Final = {
    "sqlite": ["DROP TRIGGER refusing"],
    "postgresql": ["DROP TRIGGER refusing ON {table}", "DROP FUNCTION refusing"],
    "mysql": ["DROP TRIGGER refusing"],
}

PRIORITY: Final = 7
"""That of the tasks whose outcome is refused, so that all of them are claimed first."""


@contextmanager
def refusing(when: str) -> Iterator[None]:
    """Have the database refuse some updates of the ledger.

    :param when: a condition about ``NEW``, the row as it is to be.
    """
    _execute(MAKE, when)
    try:
        yield
    finally:
        _execute(DROP)


def _execute(statements: dict[str, list[str]], when: str = "") -> None:
    table = rows().model._meta.db_table
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement.format(table=table, when=when))


def outcome_refused(harness: Harness) -> Result:
    """Have the outcomes of as many tasks refused as there are threads; others wait behind them."""
    from tests.work.tasks import add

    of_refused = rows().filter(priority=PRIORITY)
    with refusing(f"NEW.priority = {PRIORITY} AND NEW.state = 'succeeded'"):
        for _ in range(2 * THREADS):
            add(1, 2, priority=PRIORITY)
        numbers = harness.submit(harness.size.tasks)
        worker = harness.start_worker()
        harness.wait_until_done()
        told = set(of_refused.values_list("state", flat=True))
        errors = list(of_refused.values_list("error", flat=True))
        assert told == {"failed"}
        assert all(error.startswith("could not be recorded: ") for error in errors), errors
        harness.stop_calmly(worker)
    assert worker.said().count("so it has failed") == 2 * THREADS
    return harness.result(numbers)


def outcome_refused_altogether(harness: Harness) -> Result:
    """Have it refused, too, that such tasks have failed: others run, and the worker can stop."""
    from tests.work.tasks import add

    of_refused = rows().filter(priority=PRIORITY)
    with refusing(f"NEW.priority = {PRIORITY} AND NEW.finished_at IS NOT NULL"):
        for _ in range(2 * THREADS):
            add(1, 2, priority=PRIORITY)
        numbers = harness.submit(harness.size.tasks)
        worker = harness.start_worker()
        wait_until(
            lambda: rows().filter(state="succeeded").count() == len(numbers), "the others have run"
        )
        assert set(of_refused.values_list("state", flat=True)) == {"running"}
        harness.stop_calmly(worker)
        assert set(of_refused.values_list("state", flat=True)) == {"waiting"}
    worker = harness.start_worker()
    harness.wait_until_done()
    assert set(of_refused.values_list("state", flat=True)) == {"succeeded"}
    harness.stop_calmly(worker)
    return harness.result(numbers)
