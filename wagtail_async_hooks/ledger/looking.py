"""Looks for a waiting task many times in one statement, on MariaDB.

It looks with a read that takes locks and skips what is locked: such a one sees what was committed
by the moment of each look, and no more, where others see what was there when the statement began.
It keeps nobody from inserting, as there are no locks of gaps with the isolation that it asks for.
"""

from __future__ import annotations

from typing import Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from wagtail_async_hooks.ledger.base import TABLE

# A look that depends on no row of "looks" would be made once. Where somebody ends the sleep by
# KILL QUERY, the statement ends as well. Sites that limit or log what takes long do not mean this.
_LOOKS: Final = (
    "SET STATEMENT max_statement_time = 0, long_query_time = 10 FOR "
    "WITH RECURSIVE looks (number) AS "
    "(SELECT 0 UNION ALL SELECT number + 1 FROM looks WHERE number < %s) "
    "SELECT number FROM looks WHERE CASE WHEN SLEEP(IF(number = 0, 0, %s)) = 0 THEN "
    f"EXISTS (SELECT 1 FROM {TABLE} FORCE INDEX (bgtask_claim) "
    "WHERE state = 'waiting' AND blocked = FALSE AND number >= 0 LIMIT 1 "
    "LOCK IN SHARE MODE SKIP LOCKED) "
    "ELSE TRUE END LIMIT 1"
)


def can_look(alias: str) -> bool:
    """Return whether a database can do that: MariaDB from 10.6 on, where statements commit."""
    connection = connections[alias]
    return (
        connection.vendor == "mysql"
        and bool(connection.mysql_is_mariadb)  # type: ignore[attr-defined]  # its stubs lack it
        and connection.features.has_select_for_update_skip_locked
        and connection.get_autocommit()
    )


def prepare_to_look(connection: BaseDatabaseWrapper) -> None:
    """Ask for the isolation in which a look does not lock the gap where it has found nothing.

    :param connection: that nobody uses for anything else.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")


def look_repeatedly(connection: BaseDatabaseWrapper, interval: float, looks: int) -> int | None:
    """Return at which look a task was waiting, counted from 0; ``None`` if at none.

    :param connection: that was prepared.
    :param interval: seconds between two looks.
    :param looks: how many follow the first one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOOKS, [looks, interval])
        found: tuple[int] | None = cursor.fetchone()
    return None if found is None else found[0]
