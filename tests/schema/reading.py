"""Reads everything that migrations have made in a database, from its own catalogue.

Descriptions hold no names of servers, schemas or character sets that a site has chosen, so that
they are equal wherever the migrations are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

PREFIX = "wagtail_async_hooks_"

Description = dict[str, Any]


def file_of(connection: BaseDatabaseWrapper) -> Path:
    """Return the file with the description that a database has to match."""
    return Path(__file__).with_name(f"{product_of(connection)}.json")


def product_of(connection: Any) -> str:
    """Return the database's name: MySQL and MariaDB share a vendor, and differ in their types."""
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return "mariadb" if is_mariadb else str(connection.vendor)


def stored(connection: BaseDatabaseWrapper) -> Description:
    """Return the description that a database has to match."""
    described: Description = json.loads(file_of(connection).read_text())
    return described


def write(connection: BaseDatabaseWrapper) -> None:
    """Store the description of a database, after a migration that is meant to change it."""
    text = json.dumps(described(connection), indent=1, sort_keys=True, ensure_ascii=False)
    file_of(connection).write_text(f"{text}\n")


def described(connection: BaseDatabaseWrapper) -> Description:
    """Return tables, columns, indexes, constraints, triggers and functions of the package."""
    description: Description = _READERS[connection.vendor](connection)
    return description


def _rows(connection: Any, statement: str) -> list[dict[str, Any]]:
    """Return the rows of a statement, in which ``{prefix}`` stands for the start of names."""
    with connection.cursor() as cursor:
        cursor.execute(statement.replace("{prefix}", PREFIX))
        names = [column[0].lower() for column in cursor.description]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    """Return a value of JSON; MariaDB gives some texts as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _grouped(rows: Iterable[dict[str, Any]], *keys: str) -> Description:
    """Return rows in nested mappings by some of their columns."""
    groups: Description = {}
    for row in rows:
        place = groups
        *outer, last = (row.pop(key) for key in keys)
        for name in outer:
            place = place.setdefault(name, {})
        assert last not in place
        place[last] = row
    return groups


# SQLite -------------------------------------------------------------------------------------


def _sqlite(connection: Any) -> Description:
    """Return each object's own statement: SQLite keeps no other description of checks."""
    objects = _rows(
        connection,
        "SELECT type, name, tbl_name AS 'table', sql FROM sqlite_master "
        "WHERE tbl_name LIKE '{prefix}%' ORDER BY type, name",
    )
    for each in objects:
        if each["type"] == "table":
            each["sql"] = _parts(each["sql"])
    return _grouped(objects, "type", "name")


def _parts(statement: str) -> list[str]:
    """Return columns and constraints of a table, sorted: Django reorders them to change one."""
    (depth, parts) = (0, [""])
    for character in statement[statement.index("(") + 1 : statement.rindex(")")]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return sorted(part.strip() for part in parts)


# PostgreSQL ---------------------------------------------------------------------------------

_OF_POSTGRESQL = {
    "tables": (
        """
        SELECT c.relname AS name, c.relpersistence AS persistence, c.reloptions AS options
        FROM pg_class c WHERE c.relkind = 'r' AND c.relname LIKE '{prefix}%'
        """,
        ("name",),
    ),
    "columns": (
        """
        SELECT c.relname AS "table", a.attname AS name,
        row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) AS place,
        format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
        pg_get_expr(d.adbin, d.adrelid) AS "default", a.attidentity AS identity,
        a.attgenerated AS generated, o.collname AS collation, a.attstorage AS storage
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        LEFT JOIN pg_collation o ON o.oid = a.attcollation
        WHERE c.relkind = 'r' AND c.relname LIKE '{prefix}%'
        """,
        ("table", "name"),
    ),
    "constraints": (
        """
        SELECT c.relname AS "table", n.conname AS name, pg_get_constraintdef(n.oid) AS definition,
        n.convalidated AS is_validated
        FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
        WHERE c.relname LIKE '{prefix}%' AND n.contype <> 'n'
        """,
        ("table", "name"),
    ),
    "indexes": (
        """
        SELECT c.relname AS "table", i.relname AS name, x.indisvalid AS is_valid,
        replace(pg_get_indexdef(i.oid), c.relnamespace::regnamespace || '.', '') AS definition
        FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
        WHERE c.relname LIKE '{prefix}%'
        """,
        ("table", "name"),
    ),
    "sequences": (
        """
        SELECT c.relname AS name, format_type(s.seqtypid, NULL) AS type, s.seqstart AS start,
        s.seqincrement AS increment, s.seqmin AS min, s.seqmax AS max, s.seqcache AS cache,
        s.seqcycle AS cycles, o.relname || '.' || a.attname AS owner, d.deptype AS owned
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        LEFT JOIN pg_depend d ON d.objid = c.oid AND d.refobjsubid > 0
        LEFT JOIN pg_class o ON o.oid = d.refobjid
        LEFT JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = d.refobjsubid
        WHERE c.relname LIKE '{prefix}%'
        """,
        ("name",),
    ),
    "triggers": (
        """
        SELECT c.relname AS "table", t.tgname AS name, t.tgenabled AS enabled,
        replace(pg_get_triggerdef(t.oid), c.relnamespace::regnamespace || '.', '') AS definition
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND c.relname LIKE '{prefix}%'
        """,
        ("table", "name"),
    ),
    "functions": (
        """
        SELECT p.proname AS name, regexp_replace(
            replace(pg_get_functiondef(p.oid), p.pronamespace::regnamespace || '.', ''),
            '\\s+', ' ', 'g'
        ) AS definition
        FROM pg_proc p WHERE p.proname LIKE '{prefix}%'
        """,
        ("name",),
    ),
}


def _postgresql(connection: Any) -> Description:
    return {
        kind: _grouped(_rows(connection, statement), *keys)
        for kind, (statement, keys) in _OF_POSTGRESQL.items()
    }


# MySQL and MariaDB --------------------------------------------------------------------------

_OF_MYSQL = {
    "tables": (
        """
        SELECT TABLE_NAME AS name, ENGINE AS engine,
        NULLIF(TABLE_COLLATION, @@collation_database) AS collation
        FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE '{prefix}%'
        """,
        ("name",),
    ),
    "columns": (
        """
        SELECT TABLE_NAME AS `table`, COLUMN_NAME AS name, ORDINAL_POSITION AS place,
        COLUMN_TYPE AS type, IS_NULLABLE AS is_nullable, COLUMN_DEFAULT AS `default`,
        NULLIF(COLLATION_NAME, @@collation_database) AS collation, EXTRA AS extra,
        GENERATION_EXPRESSION AS generation
        FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE '{prefix}%'
        """,
        ("table", "name"),
    ),
    "indexes": (
        """
        SELECT TABLE_NAME AS `table`, INDEX_NAME AS name, SEQ_IN_INDEX AS place,
        COLUMN_NAME AS `column`, COLLATION AS direction, SUB_PART AS length,
        NON_UNIQUE AS is_not_unique, INDEX_TYPE AS type
        FROM information_schema.STATISTICS
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE '{prefix}%'
        """,
        ("table", "name", "place"),
    ),
    "constraints": (
        """
        SELECT TABLE_NAME AS `table`, CONSTRAINT_NAME AS name, CONSTRAINT_TYPE AS type
        FROM information_schema.TABLE_CONSTRAINTS
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE '{prefix}%'
        """,
        ("table", "name"),
    ),
    "checks": (
        """
        SELECT c.CONSTRAINT_NAME AS name, c.CHECK_CLAUSE AS clause, {table} AS `table`
        FROM information_schema.CHECK_CONSTRAINTS c{join}
        WHERE c.CONSTRAINT_SCHEMA = DATABASE() AND {table} LIKE '{prefix}%'
        """,
        ("table", "name"),
    ),
    "triggers": (
        """
        SELECT TRIGGER_NAME AS name, ACTION_STATEMENT AS statement
        FROM information_schema.TRIGGERS
        WHERE TRIGGER_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE LIKE '{prefix}%'
        """,
        ("name",),
    ),
    "routines": (
        """
        SELECT ROUTINE_NAME AS name, ROUTINE_DEFINITION AS definition
        FROM information_schema.ROUTINES
        WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_NAME LIKE '{prefix}%'
        """,
        ("name",),
    ),
}

# MySQL names the table of a check in another view; there, names are unique in a schema.
_OF_TABLE = {
    "mariadb": ("c.TABLE_NAME", ""),
    "mysql": (
        "t.TABLE_NAME",
        " JOIN information_schema.TABLE_CONSTRAINTS t USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME)",
    ),
}


def _mysql(connection: Any) -> Description:
    table, join = _OF_TABLE[product_of(connection)]
    found = {}
    for kind, (statement, keys) in _OF_MYSQL.items():
        statement = statement.replace("{table}", table).replace("{join}", join)
        found[kind] = _grouped(_rows(connection, statement), *keys)
    return found


_READERS: dict[str, Callable[[Any], Description]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mysql": _mysql,
}
