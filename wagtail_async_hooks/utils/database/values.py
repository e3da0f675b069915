"""Makes values fit for the columns that are to hold them, on the database at hand.

All that goes into a row of the package passes here. What a column cannot hold as it is, it holds
shortened or written out: lengths and ranges are those of the model's fields; NUL, lone surrogates
and characters that the database's encoding lacks become escapes such as ``\\U0001f600``.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import (
    BinaryField,
    CharField,
    DateTimeField,
    IntegerField,
    JSONField,
    Model,
    TextField,
)

from wagtail_async_hooks.utils.text import MAX_TEXT, cut, cut_key, shortened, storable

MAX_LONG_TEXT: Final = 1_000_000
"""Characters of a text that has no length of its own."""

MAX_DEPTH: Final = 16
"""How deep lists and dictionaries may be within another: MariaDB takes 32, SQLite 1,000."""

SMALL: Final = 200_000
"""Bytes that every database takes in one statement, so that none need be asked for its limit."""

_LIMITS: Final = {"postgresql": 500_000_000, "sqlite": 900_000_000}
"""Bytes that a statement may have. PostgreSQL takes 1 GB, as which bytes count twice; MySQL and
MariaDB say it themselves."""

_EARLIEST: Final = datetime.datetime(1000, 1, 3)
_LATEST: Final = datetime.datetime(9999, 12, 29)
"""MySQL's times, less what a time zone may add."""

_INT64: Final = 2**63

_NOT_IN_THREE_BYTES: Final = re.compile("[\U00010000-\U0010ffff]")
"""Not as ``[^\\u0000-\\uffff]``, of which Python makes a map of 65,536 characters, for 5 ms."""

_CODECS: Final = {
    # MySQL and MariaDB.
    "utf8mb4": "utf-8",
    "utf16": "utf-8",
    "utf32": "utf-8",
    "utf8mb3": "three bytes",
    "utf8": "three bytes",
    "ucs2": "three bytes",
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    # PostgreSQL; SQL_ASCII takes any bytes.
    "UTF8": "utf-8",
    "SQL_ASCII": "utf-8",
    "LATIN1": "latin-1",
    "LATIN2": "iso8859-2",
    "LATIN9": "iso8859-15",
    "WIN1250": "cp1250",
    "WIN1251": "cp1251",
    "WIN1252": "cp1252",
}
"""Python's codecs for encodings of databases; the others get what is in ASCII."""

Fit = Callable[[Any, BaseDatabaseWrapper], Any]


def fitted(
    model: type[Model], values: Mapping[str, Any], connection: BaseDatabaseWrapper
) -> dict[str, Any]:
    """Return values as the columns of a model can hold them.

    It never raises for what a value holds: lengths are cut (keys with a hash at their end), numbers
    and times are moved into the range of the column.

    :param values: by the names of the model's attributes; ``None``, and expressions, stay.
    :param connection: to the database that they are for.
    """
    fits = _fits(model)
    return {
        name: value if (fit := fits[name]) is None or value is None else fit(value, connection)
        for name, value in values.items()
    }


def limit_of(connection: BaseDatabaseWrapper) -> int:
    """Return how many bytes one statement may have; asks MySQL and MariaDB."""
    if connection.vendor != "mysql":
        return _LIMITS.get(connection.vendor, SMALL)
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        (packet,) = cursor.fetchone()
    return int(packet) - SMALL if packet > 2 * SMALL else int(packet) // 2


def size_of(value: Any) -> int:
    """Return how many bytes a text or bytes take in a statement, at most."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return 2 * len(value) if isinstance(value, bytes | bytearray | memoryview) else 0


def json_fitted(value: Any, depth: int = 0) -> Any:
    """Return a value that JSON can say, and each database can hold."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(str(value))
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else f"{value:#x}"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {storable(str(key)): json_fitted(held, depth + 1) for key, held in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [json_fitted(held, depth + 1) for held in value]
    return storable(shortened(_said_by(value), MAX_TEXT))


def _said_by(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # of a class of the site's
        return type(value).__qualname__


@functools.cache
def _fits(model: type[Model]) -> dict[str, Fit | None]:
    """Return what makes values fit, by the names of attributes and of columns."""
    fits: dict[str, Fit | None] = {}
    for field in model._meta.concrete_fields:
        fits[field.attname] = fits[str(field.column)] = fits[field.name] = _fit_of(field)
    return fits


def _fit_of(field: Any) -> Fit | None:
    if field.is_relation:
        return None
    # Not imported: models are above.
    is_key = type(field).__name__ == "ExactCharField"
    if isinstance(field, CharField):
        return functools.partial(_as_text, field, is_key)
    if isinstance(field, TextField):
        return functools.partial(_as_text, field, False)
    if isinstance(field, IntegerField):
        low, high = BaseDatabaseOperations.integer_field_ranges[field.get_internal_type()]
        return functools.partial(_as_number, low, high)
    if isinstance(field, DateTimeField):
        return _as_moment
    return {BinaryField: _as_bytes, JSONField: _as_json}.get(type(field))


def _as_text(field: Any, is_key: bool, value: Any, connection: BaseDatabaseWrapper) -> Any:
    if type(value) is not str:
        if _is_expression(value):
            return value
        value = str(value)
    length = field.max_length
    if value.isascii():
        if "\0" not in value and (length is None or len(value) <= length):
            return value
        text = storable(value)
    else:
        text = _encodable(storable(value), field, connection)
    if length is None:
        return text if len(text) <= MAX_LONG_TEXT else shortened(text, MAX_LONG_TEXT // 2)
    return cut_key(text, length) if is_key else cut(text, length)


def _as_number(low: int, high: int, value: Any, connection: BaseDatabaseWrapper) -> Any:
    if type(value) is not int:
        if _is_expression(value):
            return value
        value = int(value)
    return min(max(value, low), high)


def _as_moment(value: Any, connection: BaseDatabaseWrapper) -> Any:
    if not isinstance(value, datetime.datetime):
        return value
    zone = value.tzinfo
    if _EARLIEST <= value.replace(tzinfo=None) <= _LATEST:
        return value
    limit = _EARLIEST if value.year < 5000 else _LATEST
    return limit.replace(tzinfo=zone)


def _as_bytes(value: Any, connection: BaseDatabaseWrapper) -> Any:
    return value.encode() if isinstance(value, str) else value


def _as_json(value: Any, connection: BaseDatabaseWrapper) -> Any:
    return value if _is_expression(value) else json_fitted(value)


def _is_expression(value: Any) -> bool:
    return hasattr(value, "resolve_expression")


# Encodings ----------------------------------------------------------------------------------


def _encodable(text: str, field: Any, connection: BaseDatabaseWrapper) -> str:
    """Return a text without the characters that a column cannot hold, which are escaped."""
    for encoding in _encodings(field, connection):
        codec = _CODECS.get(encoding, "ascii")
        if codec == "three bytes":
            text = _NOT_IN_THREE_BYTES.sub(_escaped, text)
        elif codec != "utf-8":
            text = text.encode(codec, "backslashreplace").decode(codec)
    return text


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("ascii", "backslashreplace").decode()


def _encodings(field: Any, connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """Return in which encodings a column's text is sent and kept."""
    if connection.vendor == "mysql":
        known = _mysql_encodings(connection.alias, field.model._meta.db_table)
        return known.get(str(field.column), ("ascii",))
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        return (_postgresql_encoding(connection.connection),)
    return ()


def _postgresql_encoding(driver: Any) -> str:
    """Return the encoding of a database as the server has said it when it was connected to."""
    if hasattr(driver, "get_parameter_status"):  # psycopg2
        return str(driver.get_parameter_status("server_encoding"))
    return str(driver.info.parameter_status("server_encoding"))


def _mysql_encodings(alias: str, table: str) -> Mapping[str, tuple[str, ...]]:
    """Return the encodings by column; asked once in a process, and not unless there is a need."""
    known = _asked.get((alias, table))
    if known is None:
        try:
            known = _ask(alias, table)
        except (DatabaseError, InterfaceError):
            return {}  # in ASCII then; what is wrong with the database will be told
        _asked[alias, table] = known
    return known


_asked: Final[dict[tuple[str, str], Mapping[str, tuple[str, ...]]]] = {}


def _ask(alias: str, table: str) -> Mapping[str, tuple[str, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT column_name, character_set_name, @@character_set_client "
            "FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name = %s "
            "AND character_set_name IS NOT NULL",
            [table],
        )
        return {name: (sent, kept) for name, kept, sent in cursor.fetchall()}
