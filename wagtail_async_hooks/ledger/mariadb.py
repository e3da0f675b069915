"""Records how a task ended and claims the next by one compound statement, on MariaDB.

As statements of a transaction they are six round trips. MySQL has compound statements within stored
procedures only.
"""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger.base import TABLE
from wagtail_async_hooks.ledger.locks import READ_COMMITTED, kind_of, locks_gaps
from wagtail_async_hooks.ledger.selection import Sql

# What fails is undone by the statement itself, and raised. The row is read before the commit: after
# it, it may be another worker's. Where nothing is found, SELECT … INTO warns, and leaves the NULL.
_STATEMENT: Final = f"""BEGIN NOT ATOMIC
DECLARE kept, place INT;
DECLARE chosen BIGINT;
DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
{{isolation}}START TRANSACTION;
{{finish}}SELECT id, {{slot}} INTO chosen, place {{source}};
IF chosen IS NOT NULL THEN
{{begin}}, slot = place WHERE id = chosen AND state = 'waiting';
END IF;
SELECT kept, {{told}} FROM (SELECT 1) one LEFT JOIN {TABLE} ON id = chosen;
COMMIT;
END"""

_DRIVERS: Final = ("MySQLdb", "pymysql")
"""Those that return the results of a statement that has several, one after the other."""


class Parts(NamedTuple):
    """What such a statement is made of.

    :param finish: the statement that records an outcome; blank if there is none.
    :param slot: the number of the claimed task among those of its queue.
    :param source: what follows ``SELECT id`` to find the task, and lock it.
    :param begin: what has it run, but for its condition.
    :param told: what is read of it.
    """

    finish: Sql
    slot: Sql
    source: Sql
    begin: Sql
    told: Sql


def takes(connection: BaseDatabaseWrapper) -> bool:
    """Return whether one may be sent: it begins a transaction of its own, and commits it."""
    if kind_of(connection) != "mariadb" or connection.in_atomic_block:
        return False
    driver: Any = connection.Database  # type: ignore[attr-defined]  # its stubs lack it
    return driver.__name__ in _DRIVERS and connection.get_autocommit()


def step(connection: BaseDatabaseWrapper, parts: Parts) -> tuple[bool, tuple[Any, ...] | None]:
    """Record an outcome, if there is one, and claim a task.

    :returns: whether the outcome counted, and what is told of the task; ``None`` without one.
    :raises DatabaseError: Django's; then neither was done.
    """
    statement = _statement(locks_gaps(connection), *(part.text for part in parts))
    with connection.cursor() as cursor:
        cursor.execute(statement, [value for part in parts for value in part.parameters])
        kept, *row = cursor.fetchone()
        while cursor.nextset():  # only then has it been committed
            pass
    return bool(kept), None if row[0] is None else tuple(row)


@functools.lru_cache(maxsize=64)
def _statement(gaps: bool, finish: str, slot: str, source: str, begin: str, told: str) -> str:
    return _STATEMENT.format(
        isolation=f"{READ_COMMITTED};\n" if gaps else "",
        finish=f"{finish};\nSET kept = ROW_COUNT();\n" if finish else "",
        slot=slot,
        source=source,
        begin=begin,
        told=told,
    )
