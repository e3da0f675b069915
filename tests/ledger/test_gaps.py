"""On MySQL and MariaDB a claim locks the row that it takes, and no gap in which others insert.

But for its last statement, where the task gets a slot of its queue, or has an exclusive key.
Whether it is the only one is looked up in a unique index. InnoDB locks what it finds there, and the
gap before it, whatever the isolation: what a task has left, say, that has ended just now.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections

from tests.limits import PATIENCE
from tests.processes import wait_until
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.ledger import mariadb
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import EVERYTHING, Bounds, Outcome, State

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("connection.vendor != 'mysql'", reason="others have no such locks"),
    pytest.mark.usefixtures("committed_db"),
]


@pytest.fixture(autouse=True, params=["read committed", "repeatable read", "serializable"])
def _isolation(
    request: pytest.FixtureRequest, committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """What a site may have set for its connections."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", request.param)
    connection.close()
    yield
    monkeypatch.undo()
    connection.close()


@pytest.fixture(autouse=True, params=["at once", "one by one"])
def _statements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the statements of a claim are sent: all in one on MariaDB, or each for itself."""
    if request.param == "one by one":
        monkeypatch.setattr(mariadb, "takes", lambda connection: False)


def isolation() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@tx_isolation")
        return str(cursor.fetchone()[0])


class Inserting:
    """Inserts tasks over another connection after each statement that locks rows.

    Within a compound statement, once all rows are locked.

    :param options: of the tasks.
    :param updates: whether also after those that change rows.
    """

    def __init__(self, *options: dict[str, Any], updates: bool = True) -> None:
        self._options = options
        self._updates = updates
        self.errors: list[Exception] = []
        self.times = 0

    def __call__(self, execute: Callable[..., Any], sql: str, *others: Any) -> Any:
        if sql.startswith("BEGIN NOT ATOMIC"):
            return self._within(execute, sql, *others)
        result = execute(sql, *others)
        if "FOR UPDATE" in sql or (self._updates and "UPDATE " in sql[:80]):
            self.times += 1
            thread = threading.Thread(target=self._insert)
            thread.start()
            thread.join(PATIENCE)
        return result

    def _within(self, execute: Callable[..., Any], sql: str, *others: Any) -> Any:
        """Run a compound statement, and insert while it waits for a lock of the test's own."""
        place = "SELECT kept" if self._updates else "IF chosen"
        assert place in sql
        held = threading.Event()
        thread = threading.Thread(target=self._insert_while_held, args=(held,))
        thread.start()
        assert held.wait(PATIENCE)
        waiting = f"DO GET_LOCK({LOCK}, {PATIENCE:.0f});\nDO RELEASE_LOCK({LOCK});\n{place}"
        try:
            return execute(sql.replace(place, waiting, 1), *others)
        finally:
            thread.join(PATIENCE)
            self.times += 1

    def _insert_while_held(self, held: threading.Event) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT GET_LOCK({LOCK}, 0)")
                assert cursor.fetchone() == (1,)
                held.set()
                wait_until(lambda: _waits_for_lock(cursor), "the claim waits")
        except Exception as error:
            self.errors.append(error)
        finally:
            held.set()
        self._insert()  # and the end of the connection releases the lock

    def _insert(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
            for options in self._options:
                background.enqueue(tasks.add.s(1, 2, **options))
        except Exception as error:
            self.errors.append(error)
        finally:
            connections.close_all()


LOCK = "DATABASE()"
"""The name of the lock, which all databases of a server share: tests run side by side on some."""


def _waits_for_lock(cursor: Any) -> bool:
    cursor.execute(
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE state = 'User lock' AND db = DATABASE()"
    )
    return bool(cursor.fetchone()[0])


ANYWHERE = ({}, {"priority": 5}, {"priority": -5})
"""Before, behind and among those that wait."""


@pytest.mark.parametrize(
    "bounds",
    [
        EVERYTHING,
        Bounds(queues=("default",)),
        Bounds(queues=("another",)),
        Bounds(limits={"default": 2}),
        Bounds(left_out=("another",)),
        Bounds(functions=("a.function",)),
    ],
    ids=["everything", "queue", "another queue", "limit", "paused queue", "paused function"],
)
@pytest.mark.parametrize("number", [0, 2])
def test_claim__keeps_nobody_from_inserting(number: int, bounds: Bounds) -> None:
    for _ in range(number):
        tasks.add(1, 2)
    before, inserting = isolation(), Inserting(*ANYWHERE, updates=not bounds.limits)
    with connection.execute_wrapper(inserting):
        ledger.step(None, None, bounds=bounds)
    assert inserting.errors == []
    assert isolation() == before


def test_finish_and_claim__keeps_nobody_from_inserting() -> None:
    for _ in range(2):
        tasks.add(1, 2)
    _, claim = ledger.step(None, None)
    assert claim is not None
    inserting = Inserting(*ANYWHERE)
    with connection.execute_wrapper(inserting):
        kept, following = ledger.step(Outcome(claim, State.SUCCEEDED), None)
    assert kept
    assert following is not None
    assert inserting.times >= (1 if mariadb.takes(connection) else 2)
    assert inserting.errors == []


def test_coalesce__keeps_nobody_from_inserting() -> None:
    for _ in range(3):
        tasks.add(1, 2)
    BackgroundTask.objects.update(coalesce_key="a key")
    inserting = Inserting({}, {"priority": 5})
    with connection.execute_wrapper(inserting):
        _, claim = ledger.step(None, None)
    assert claim is not None
    assert len(claim.merged) == 2
    assert inserting.times >= (2 if mariadb.takes(connection) else 3)
    assert inserting.errors == []
