"""What a database's driver knows of its connection: whether a transaction is open, or aborted.

Drivers know it without asking the server, but for mysqlclient, and PyMySQL where autocommit is off.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

# Of PostgreSQL's transactions; both of its drivers have these numbers of libpq's.
IDLE: Final = 0
ACTIVE: Final = 1
OPEN: Final = 2
ABORTED: Final = 3
UNKNOWN: Final = 4
"""The connection is lost."""

_IN_TRANSACTION: Final = 1
"""The bit of it in the status that a server of MySQL or MariaDB sends with its answers."""


def status_on_postgresql(connection: BaseDatabaseWrapper) -> int:
    """Return the status of the transaction of a connection that is open."""
    driver: Any = connection.connection
    pgconn = getattr(driver, "pgconn", None)  # psycopg 2 has none
    return int(driver.info.transaction_status if pgconn is None else pgconn.transaction_status)


def knows_transactions(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the driver says if a transaction is open; mysqlclient does not."""
    return connection.vendor != "mysql" or hasattr(connection.connection, "server_status")


def is_clean(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a connection is as Django opens it, as far as that costs nothing to know."""
    driver: Any = connection.connection
    if driver is None:
        return not connection.in_atomic_block
    if connection.in_atomic_block or connection.run_on_commit:
        return False
    if connection.autocommit is not connection.settings_dict["AUTOCOMMIT"]:
        return False
    vendor = connection.vendor
    if vendor == "sqlite":
        is_ours = driver.isolation_level is None and driver.row_factory is None
        return is_ours and not driver.in_transaction
    if vendor == "postgresql":
        if status_on_postgresql(connection) not in (IDLE, UNKNOWN):
            return False
        return driver.autocommit is connection.autocommit
    if vendor == "mysql":
        status = getattr(driver, "server_status", 0)
        return not status & _IN_TRANSACTION and bool(driver.get_autocommit()) is (
            connection.autocommit
        )
    return True


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a transaction is open, also one that Django has not begun.

    Of a connection that is not clean, the server may be asked.
    """
    driver: Any = connection.connection
    if driver is None or connection.in_atomic_block:
        return bool(connection.in_atomic_block)
    if connection.vendor == "sqlite":
        return bool(driver.in_transaction)
    if connection.vendor == "postgresql":
        return status_on_postgresql(connection) in (ACTIVE, OPEN, ABORTED)
    if knows_transactions(connection) and driver.server_status & _IN_TRANSACTION:
        return True
    return _is_in_transaction_on_mysql(driver)


def _is_in_transaction_on_mysql(driver: Any) -> bool:
    """Ask the server, where PyMySQL learns of a transaction only from some answers."""
    if bool(driver.get_autocommit()):
        return False
    try:
        with driver.cursor() as cursor:
            cursor.execute("SELECT @@in_transaction")
            [answer] = cursor.fetchone()
    except Exception:  # MySQL has no such variable
        return True
    return bool(answer)
