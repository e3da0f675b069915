"""Tests of what makes values fit for their columns, on a row of each table that is written to."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models
from django.utils import timezone

from wagtail_async_hooks.models import (
    BackgroundTask,
    Counter,
    HookSample,
    MutedError,
    Notice,
    Pause,
    QueueSample,
    Schedule,
    StoredValue,
    TaskAttempt,
    TaskItem,
    TaskStatistic,
    Worker,
)
from wagtail_async_hooks.utils.database import values as fitting
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.database.values import fitted, json_fitted, limit_of, size_of

MODELS = [
    *(BackgroundTask, TaskAttempt, TaskItem, Notice, Pause),
    *(Schedule, Worker, StoredValue, Counter),
    *(HookSample, MutedError, QueueSample, TaskStatistic),
]
TEXTS = ["", "x" * 10_000, "a\0b", "\ud800 alone", "the chat said 😀", "é" * 500, "😀" * 400]
NUMBERS = [0, -1, 2**15, 2**31, 2**63, -(2**63) - 1, 10**30, True]
MOMENTS = [
    datetime.datetime(1, 1, 1),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999),
    datetime.datetime(2026, 11, 28),
]
JSONS: list[Any] = [
    {"text": "a\0b \ud800 😀", "number": float("nan"), "far": float("inf"), "huge": 10**5000},
    [[[[[[[[[[[[[[[[[[[[[[[["deep"]]]]]]]]]]]]]]]]]]]]]]]],
    {1: {"object"}, None: object()},
]


def values_of(field: Any) -> list[Any]:
    """Return values with which a column may be asked to cope."""
    if field.is_relation or field.primary_key:
        return [1]
    if isinstance(field, models.CharField | models.TextField):
        return ["failed"] if field.choices else TEXTS
    if isinstance(field, models.IntegerField):
        return NUMBERS
    if isinstance(field, models.DateTimeField):
        zone = timezone.get_current_timezone() if timezone.now().tzinfo else None
        return [moment.replace(tzinfo=zone) for moment in MOMENTS]
    if isinstance(field, models.BooleanField):
        return [False]
    if isinstance(field, models.UUIDField):
        return [uuid.UUID(int=7)]
    if isinstance(field, models.FloatField):
        return [0.5]
    return JSONS if isinstance(field, models.JSONField) else [b"x"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_fitted__the_database_takes_whatever_it_is(model: type[models.Model], db: None) -> None:
    fields = [field for field in model._meta.concrete_fields if not field.auto_created]
    plain = {field.attname: values_of(field)[0] for field in fields}
    for number, field in enumerate(fields):
        for given in values_of(field):
            values = {**plain, field.attname: given}
            if model is Notice:
                values["task_id"] = 1000 + number
            row = model(**fitted(model, values, connection))
            row.save(force_insert=True)
            row.refresh_from_db()
            row.delete()


def test_fitted__leaves_what_fits_as_it_is(db: None) -> None:
    values = {
        "title": "Publish “Über uns”",
        "priority": 5,
        "messages": [{"text": "é", "level": 20}],
        "run_at": timezone.now(),
        "progress_done": None,
        "message": b"\0\xff",
        "user_id": "a key of the site's own",
    }
    assert fitted(BackgroundTask, values, connection) == values


def test_fitted__leaves_expressions(db: None) -> None:
    values = {"heartbeat_at": DatabaseNow(), "pid": models.F("pid"), "host": models.Value("x")}
    assert fitted(Worker, values, connection) == values


def test_fitted__keys_that_differ_still_differ(db: None) -> None:
    keys = {
        fitted(BackgroundTask, {"subject_id": "k" * 300 + end}, connection)["subject_id"]
        for end in ("1", "2")
    }
    assert len(keys) == 2
    assert {len(key) for key in keys} == {245}
    queue = fitted(BackgroundTask, {"queue": "q" * 300}, connection)["queue"]
    assert len(queue) == 64


def test_fitted__other_text_ends_with_dots(db: None) -> None:
    assert fitted(Worker, {"host": "h" * 300}, connection)["host"] == "h" * 252 + "..."


def test_fitted__by_names_of_columns_as_well(db: None) -> None:
    values = {"worker_id": 2**70, "result": b"x"}
    assert fitted(BackgroundTask, values, connection) == values


def test_json_fitted__keeps_what_json_can_say() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": []}}
    assert json_fitted(value) == value
    assert json.loads(json.dumps(json_fitted((1, 2)))) == [1, 2]


def test_json_fitted__an_object_that_cannot_even_say_what_it_is() -> None:
    class Mute:
        def __str__(self) -> str:
            raise ValueError

    assert json_fitted([Mute()])[0].endswith("Mute")


def test_limit__a_statement_of_that_size_is_taken(db: None) -> None:
    limit = limit_of(connection)
    assert limit > 500_000
    assert size_of("é") == 4
    assert size_of("abc") == 3
    assert size_of(b"abc") == 6
    assert size_of(None) == 0
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            value = b"\0" * (limit // 2)
            cursor.execute("SELECT LENGTH(%s)", [value])
            assert cursor.fetchone() == (len(value),)


# Encodings ----------------------------------------------------------------------------------


@pytest.fixture(params=["utf8mb3", "latin1", "ascii"])
def narrow(request: Any, committed_db: None) -> Iterator[str]:
    """The workers' table in an encoding of old databases, on MariaDB."""
    if connection.vendor != "mysql":
        pytest.skip("only MySQL and MariaDB have encodings by column")
    table = Worker._meta.db_table

    def convert(encoding: str) -> None:
        fitting._asked.clear()
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET {encoding}")

    convert(request.param)
    yield request.param
    Worker.objects.all().delete()
    convert("utf8mb4")


def test_encoding__of_mariadb(narrow: str) -> None:
    now = timezone.now()
    given = {"host": "Zoë 😀 日本", "release": "1", "queues": "a\0😀"}
    values = fitted(Worker, given, connection)
    row = Worker(**values, pid=1, threads=1, started_at=now, heartbeat_at=now)
    row.save()
    row.refresh_from_db()
    shown = {
        "utf8mb3": "Zoë \\U0001f600 日本",
        "latin1": "Zoë \\U0001f600 \\u65e5\\u672c",
        "ascii": "Zo\\xeb \\U0001f600 \\u65e5\\u672c",
    }
    assert (row.host, row.queues) == (shown[narrow], "a\\x00\\U0001f600")


def test_encoding__is_asked_for_once_and_only_where_there_is_a_need(
    db: None, django_assert_num_queries: Any
) -> None:
    fitting._asked.clear()
    with django_assert_num_queries(0):
        fitted(Worker, {"host": "plain", "pid": 1}, connection)
    with django_assert_num_queries(1 if connection.vendor == "mysql" else 0):
        fitted(Worker, {"host": "😀"}, connection)
        fitted(Worker, {"host": "é"}, connection)


def test_encoding__of_postgresql(committed_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a database of PostgreSQL has one encoding")
    import psycopg

    driver = connection.connection or connection.connect() or connection.connection
    name = "test_wah_latin"
    with psycopg.connect(driver.info.dsn, dbname="postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name}")
        server.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' "
            "LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        other = connection.copy()
        other.settings_dict = {**connection.settings_dict, "NAME": name}
        try:
            [host] = fitted(Worker, {"host": "Zoë 😀 日本"}, other).values()
            assert host == "Zoë \\U0001f600 \\u65e5\\u672c"
            with other.cursor() as cursor:
                cursor.execute("CREATE TABLE told (host text)")
                cursor.execute("INSERT INTO told VALUES (%s)", [host])
        finally:
            other.close()
            server.execute(f"DROP DATABASE {name}")


def test_encoding__one_that_cannot_be_asked_for_is_ascii(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "mysql":
        pytest.skip("only MySQL and MariaDB are asked")
    from django.db import DatabaseError

    def away(alias: str, table: str) -> Any:
        raise DatabaseError("away")

    monkeypatch.setattr(fitting, "_asked", {})
    monkeypatch.setattr(fitting, "_ask", away)
    assert fitted(Worker, {"host": "é"}, connection) == {"host": "\\xe9"}
