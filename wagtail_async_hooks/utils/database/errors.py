"""Judges errors of databases: somebody else in the way, an outage, or a refusal of the data.

PostgreSQL says which by SQLSTATE, MySQL and MariaDB by number, SQLite by name. Django's classes say
too little: mysqlclient raises ``OperationalError`` for a character that a column cannot hold, and
for a server that is away.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

DRIVER_CODES: Final = range(2000, 3000)
"""Numbers of errors that a client of MySQL and MariaDB raises, rather than the server; also 0."""


class Verdict(enum.Enum):
    """What an error means for whoever wants to try again."""

    CONTENTION = "contention"
    """Another transaction was in the way: the same will work in a moment."""
    OUTAGE = "outage"
    """Nothing will work until somebody has repaired something; then the same will."""
    REFUSAL = "refusal"
    """The data are refused: the same will never work."""


_CONTENTION: Final[frozenset[Any]] = frozenset(
    {
        # PostgreSQL: serialization failure, deadlock, lock not available, object in use, canceled
        # by a timeout of the statement.
        *("40001", "40P01", "55P03", "55006", "57014"),
        # MySQL, MariaDB: changed meanwhile, lock wait timeout, deadlock, no wait, somebody's read
        # lock, a table that is just changed, a statement that was interrupted, or took too long.
        *(1020, 1205, 1213, 3572, 1223, 1412, 1615, 1317, 1969, 3024),
        *("SQLITE_BUSY", "SQLITE_LOCKED"),
    }
)

_READ_ONLY: Final[frozenset[Any]] = frozenset({"25006", 1290, 1792, 1836, "SQLITE_READONLY"})
_FULL: Final[frozenset[Any]] = frozenset({"53100", 1021, 1114, "SQLITE_FULL"})
_CROWDED: Final[frozenset[Any]] = frozenset({"53300", 1040, 1203, 1226})
_NO_LOGIN: Final[frozenset[Any]] = frozenset(
    {"28000", "28P01", 1044, 1045, 1129, 1130, 1698, 1820, 1862, "SQLITE_AUTH"}
)
_NO_DATABASE: Final[frozenset[Any]] = frozenset({"3D000", 1049})
_NO_TABLE: Final[frozenset[Any]] = frozenset(
    {"42P01", "42703", "42883", "3F000", 1146, 1054, 1305, 1051}
)
_NO_PERMISSION: Final[frozenset[Any]] = frozenset(
    {"42501", 1142, 1143, 1227, 1370, 1410, "SQLITE_PERM"}
)
_BROKEN: Final[frozenset[Any]] = frozenset(
    {
        # MySQL, MariaDB: out of memory, errors of the storage engine and of its files, a crashed
        # table, too many locks.
        *(3, 1016, 1017, 1026, 1030, 1033, 1034, 1037, 1038, 1041, 1047, 1105, 1135, 1180),
        *(1194, 1195, 1206, 1815),
        *("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_NOMEM", "SQLITE_PROTOCOL"),
    }
)
_LOST: Final[frozenset[Any]] = frozenset(
    {
        # PostgreSQL: shut down, crashed, starting, idle for too long.
        *("57P01", "57P02", "57P03", "57P05", "25P03"),
        # MySQL, MariaDB: shut down, errors of the network, a connection that was killed.
        *(1053, 1077, 1079, 1152, 1154, 1158, 1159, 1160, 1161, 1184, 1927, 4031),
        "SQLITE_CANTOPEN",
    }
)
_STALE: Final[frozenset[Any]] = frozenset({"0A000", "26000", "25P02"})
"""PostgreSQL: a connection whose plans are those of a table that was changed, or whose prepared
statements are another one's, or that is in a broken transaction. A new one will do."""

_REFUSED_CLASSES: Final = ("21", "22", "23", "2F", "38", "39", "44", "54", "P0")
"""Classes of PostgreSQL's SQLSTATE: errors of the data, and of the site's own triggers."""

_REFUSED: Final[frozenset[Any]] = frozenset({"40002", "42804", "42846"})

_LACKS: Final = re.compile("no such (table|column|function|index)|has no column")
"""How SQLite says that, which has no code for it."""

_UNSPECIFIC: Final = ("OperationalError", "InterfaceError", "InternalError")
"""Classes of errors that say, where there is no code, that the connection does not work."""

_UNDOES_ALL: Final[frozenset[Any]] = frozenset({1020, 1206, 1213})
"""MySQL and MariaDB: what rolls back the whole transaction, and not only the statement."""

_LOCK_TIMEOUT: Final = 1205

_MEANINGS: Final[tuple[tuple[frozenset[Any], str], ...]] = (
    (_READ_ONLY, "The database refuses writes (read-only)"),
    (_FULL, "The database has no space left"),
    (_CROWDED, "The database takes no more connections"),
    (_NO_LOGIN, "The database refuses the login"),
    (_NO_DATABASE, "The database does not exist"),
    (
        _NO_TABLE,
        'The database lacks a table, a column or a function (is "manage.py migrate" needed?)',
    ),
    (_NO_PERMISSION, "The database denies the permission"),
    (_BROKEN, "The database has an error of its own"),
)

AWAY: Final = "The database does not answer"
_REFUSES: Final = "The database refuses what it is asked"


def judge(error: BaseException) -> Verdict:
    """Return what an error means; an error that is not a database's is one of the data."""
    codes = set(_codes(error))
    if not is_of_database(error):
        return Verdict.REFUSAL
    if codes & _CONTENTION or "database is locked" in str(error):
        return Verdict.CONTENTION
    if is_stale(error) or any(codes & known for known, _ in _MEANINGS):
        return Verdict.OUTAGE
    return Verdict.REFUSAL if _is_about_data(error, codes) else Verdict.OUTAGE


def is_contention(error: BaseException) -> bool:
    """Return whether a statement failed only because another transaction was in the way."""
    return judge(error) is Verdict.CONTENTION


def is_refusal(error: BaseException) -> bool:
    """Return whether the data are refused, so that the same will never work."""
    return judge(error) is Verdict.REFUSAL


def is_lost(error: BaseException) -> bool:
    """Return whether an error says that the connection is gone, or that none can be made."""
    codes = set(_codes(error))
    if codes & _LOST:
        return True
    if sqlstate := _sqlstate(codes):
        return sqlstate.startswith("08")
    numbers = {code for code in codes if isinstance(code, int)}
    if numbers:
        return any(number == 0 or number in DRIVER_CODES for number in numbers)
    if is_of_database(error) and "closed" in str(error):
        return True
    # psycopg has no SQLSTATE where the server could not send one.
    is_from_sqlite = any(str(code).startswith("SQLITE_") for code in codes)
    return not is_from_sqlite and _is_a(error, *_UNSPECIFIC)


def is_stale(error: BaseException) -> bool:
    """Return whether a new connection may be all that is needed."""
    is_in_broken = isinstance(error, TransactionManagementError)
    return is_lost(error) or is_in_broken or bool(set(_codes(error)) & _STALE)


def is_away(error: BaseException, aliases: Iterable[str]) -> bool:
    """Return whether an error says that one of some databases is away, as its connection does."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    # Django gives up a connection on which it cannot even roll back.
    return any(
        connections[alias].connection is None or not connections[alias].is_usable()
        for alias in aliases
    )


def undid_transaction(error: BaseException, connection: BaseDatabaseWrapper) -> bool:
    """Return whether a failed statement has rolled back the whole transaction around it.

    Then no savepoint is left to go back to, and what is written from now on would be committed
    without what was written before.

    :param connection: the one that the statement was run on.
    """
    if is_lost(error) or connection.connection is None:
        return True
    if connection.vendor == "sqlite":
        return connection.in_atomic_block and not connection.connection.in_transaction
    if connection.vendor != "mysql":
        return False
    codes = set(_codes(error))
    if codes & _UNDOES_ALL:
        return True
    return _LOCK_TIMEOUT in codes and _rolls_back_on_timeout(connection)


def _rolls_back_on_timeout(connection: BaseDatabaseWrapper) -> bool:
    """Return MariaDB's ``innodb_rollback_on_timeout``; Django's cursor would refuse to ask."""
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_rollback_on_timeout")
        return bool(cursor.fetchone()[0])


def meaning(error: BaseException) -> str:
    """Return in words what an error means that will last: the beginning of a sentence."""
    codes = set(_codes(error))
    for known, words in _MEANINGS:
        if codes & known:
            return words
    verdict = judge(error)
    if verdict is Verdict.CONTENTION:
        return "Another transaction is in the way in the database"
    if is_lost(error):
        return AWAY
    if verdict is Verdict.REFUSAL:
        return _REFUSES if is_of_database(error) else "The worker has met an error of its own"
    return "The database cannot be worked with"


def in_one_line(error: BaseException) -> str:
    """Return an error with its type, without the lines that say where in a statement it is."""
    told = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {told.strip()}" if told else type(error).__name__


def _codes(error: BaseException) -> Iterator[Any]:
    """Return what the database says about an error, which is at the driver's own exception."""
    if not is_of_database(error):
        return
    for cause in filter(None, (error, error.__cause__)):
        for name in ("sqlstate", "pgcode"):  # psycopg, psycopg2
            if isinstance(code := getattr(cause, name, None), str):
                yield code
        if isinstance(told := getattr(cause, "sqlite_errorname", None), str):
            yield told
            yield "_".join(told.split("_")[:2])  # of SQLITE_BUSY_SNAPSHOT, SQLITE_BUSY
            if told == "SQLITE_ERROR" and _LACKS.search(str(cause)):
                yield "42P01"
        # mysqlclient; bool is an int.
        if cause.args and type(cause.args[0]) is int:
            yield cause.args[0]


def _sqlstate(codes: set[Any]) -> str:
    found = (code for code in codes if isinstance(code, str) and not code.startswith("SQLITE_"))
    return next(found, "")


def _is_about_data(error: BaseException, codes: set[Any]) -> bool:
    if codes & _REFUSED:
        return True
    if sqlstate := _sqlstate(codes):
        return sqlstate.startswith(_REFUSED_CLASSES)
    if any(isinstance(code, int) for code in codes):
        return True  # of a server that answers: what it has of its own is listed above
    if any(str(code).startswith("SQLITE_") for code in codes):
        return True
    return not _is_a(error, *_UNSPECIFIC)


def is_of_database(error: BaseException) -> bool:
    """Return whether an error is one of Django's, or of a driver's, whose classes are called so."""
    return _is_a(error, "DatabaseError", "InterfaceError")


def _is_a(error: BaseException, *names: str) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)
