"""PostgreSQL's function for the next task asks what a claim elsewhere asks, and in one way only."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import connection, transaction

from tests.work import tasks
from wagtail_async_hooks.ledger import choosing
from wagtail_async_hooks.ledger.base import TABLE, lock_of
from wagtail_async_hooks.models import BackgroundTask

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="a function of PostgreSQL's"
)


def definition() -> str:
    """Return the function as the database has it, on one line."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [choosing.NEXT])
        [(text,)] = cursor.fetchall()
    return " ".join(text.split())


def query(suspects: str) -> str:
    """Return what a claim asks on other databases."""
    return (
        f"SELECT id FROM {TABLE} WHERE state = 'waiting' AND ({suspects} OR deaths = 0) "
        f"AND {choosing._free(connection)} ORDER BY {choosing._OF_ALL} LIMIT 1{lock_of(connection)}"
    )


@pytest.mark.django_db
def test_next__is_the_query_of_other_databases() -> None:
    assert query("suspects") in definition()


@pytest.mark.django_db
def test_next__walks_along_the_index_whatever_the_statistics_say() -> None:
    tasks.add(1, 2)
    settings = re.findall(r"SET (enable_\w+) TO '?off'?", definition())
    assert sorted(settings) == ["enable_bitmapscan", "enable_seqscan", "enable_sort"]
    with transaction.atomic(), connection.cursor() as cursor:
        for setting in settings:
            cursor.execute(f"SET LOCAL {setting} = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {query('true')}")
        [(found,)] = cursor.fetchall()
    kinds: list[Any] = []
    nodes = [(json.loads(found) if isinstance(found, str) else found)[0]["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        kinds.append((node["Node Type"], node.get("Index Name")))
    assert ("Index Scan", "bgtask_claim") in kinds
    assert {"Sort", "Seq Scan", "Bitmap Heap Scan"}.isdisjoint(kind for kind, _ in kinds)


@pytest.mark.django_db
@pytest.mark.parametrize(("suspects", "expected"), [(True, 1), (False, 2)])
def test_next__passes_over_suspects_when_told_to(suspects: bool, expected: int) -> None:
    for _ in range(2):
        tasks.add(1, 2)
    first, second = BackgroundTask.objects.order_by("pk")
    BackgroundTask.objects.filter(pk=first.pk).update(deaths=1)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {choosing.NEXT}(%s)", [suspects])
        [(pk,)] = cursor.fetchall()
    assert pk == {1: first.pk, 2: second.pk}[expected]


@pytest.mark.django_db
def test_next__of_nothing_is_null() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {choosing.NEXT}(true)")
        assert cursor.fetchall() == [(None,)]
