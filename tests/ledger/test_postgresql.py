"""PostgreSQL's function asks what a claim asks elsewhere, finds it in one way, and looks behind."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from django.db import connection, transaction

from tests import crowds
from tests.effort import effort
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.ledger import postgresql, selection
from wagtail_async_hooks.ledger.base import CLAIMED, TABLE, lock_of
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import EVERYTHING, Bounds, Claim, Outcome, State

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="a function of PostgreSQL's"
)

LOOKS: Final = (
    " AND priority > after_priority",
    " AND priority = after_priority AND id > after_id",
    "",
)
"""What the function looks for beside the bounds of all claims, one after the other."""

BEHIND: Final = LOOKS[1]


def definition() -> str:
    """Return the function as the database has it, on one line."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [postgresql.FUNCTION])
        [(text,)] = cursor.fetchall()
    return " ".join(text.split())


def query(more: str, suspects: str = "suspects") -> str:
    """Return what a claim asks on other databases, and more."""
    asked = (
        f"SELECT id FROM {TABLE} WHERE {selection._CLAIMABLE} AND ({suspects} OR deaths = 0) "
        f"AND {selection._free(connection)}{more} "
        f"ORDER BY {selection._OF_ALL} LIMIT 1{lock_of(connection)}"
    )
    if more == BEHIND:  # in other words, for the sake of the plan
        asked = asked.replace("blocked = FALSE", "blocked = ANY (ARRAY[FALSE])")
        asked = asked.replace("ORDER BY priority", "ORDER BY blocked, priority")
    return asked


def enqueue(priority: int = 0) -> int:
    """Record a task; return its row's number."""
    background.enqueue(tasks.add.task_class((1, 2), {}, priority=priority))
    return BackgroundTask.objects.latest("pk").pk


def claim() -> Claim:
    """Claim the first of all tasks."""
    _, claimed = ledger.step(None, None)
    assert claimed is not None
    return claimed


def next_after(claimed: Claim) -> Claim | None:
    """Record the end of a task, and claim the next."""
    kept, found = ledger.step(Outcome(claimed, State.SUCCEEDED), None)
    assert kept
    return found


def hold(pk: int, state: State = State.SCHEDULED) -> None:
    """Let a task wait no more, or wait again."""
    BackgroundTask.objects.filter(pk=pk).update(state=state)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any look be a long one, and nobody look back, however long a test takes."""
    monkeypatch.setattr(postgresql, "LONG", -1.0)
    monkeypatch.setattr(postgresql, "LOOK_BACK", 1000.0)
    monkeypatch.setattr(postgresql, "MOST", 1000.0)


@pytest.mark.django_db
@pytest.mark.parametrize("more", LOOKS)
def test_function__asks_what_other_databases_are_asked(more: str) -> None:
    assert f"({query(more)})" in re.sub(r"\( | \)", lambda m: m[0].strip(), definition())


@pytest.mark.django_db
@pytest.mark.parametrize("more", LOOKS)
def test_function__walks_along_the_index_whatever_the_statistics_say(more: str) -> None:
    tasks.add(1, 2)
    settings = re.findall(r"SET (enable_\w+) TO '?off'?", definition())
    assert sorted(settings) == ["enable_bitmapscan", "enable_seqscan", "enable_sort"]
    prepared = query(more, "$1").replace("after_priority", "$2").replace("after_id", "$3")
    with transaction.atomic(), connection.cursor() as cursor:
        for setting in settings:
            cursor.execute(f"SET LOCAL {setting} = off")
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE looked (boolean, integer, bigint) AS {prepared}")
        cursor.execute("EXPLAIN (FORMAT JSON) EXECUTE looked (true, 1, 1)")
        [(found,)] = cursor.fetchall()
        cursor.execute("DEALLOCATE looked")
    kinds: list[Any] = []
    begins_at = ""
    nodes = [(json.loads(found) if isinstance(found, str) else found)[0]["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        kinds.append((node["Node Type"], node.get("Index Name")))
        if node.get("Index Name") == "bgtask_claim":
            begins_at = node.get("Index Cond", "")
    # It begins there, and passes over nothing that has waited before.
    assert all(column in begins_at for column in re.findall(r"(priority|id) [=>]", more))
    assert ("Index Scan", "bgtask_claim") in kinds
    assert {"Sort", "Seq Scan", "Bitmap Heap Scan"}.isdisjoint(kind for kind, _ in kinds)
    assert not any("pkey" in (index or "") for _, index in kinds)


@pytest.mark.django_db
def test_function__returns_what_is_read_of_a_row_elsewhere() -> None:
    returned = re.findall(r"OUT claimed_(\w+) ", definition())
    assert returned == CLAIMED.replace(" IS NOT NULL", "").split(", ")


@pytest.mark.django_db
@pytest.mark.parametrize(("suspects", "expected"), [(True, 0), (False, 1)])
def test_step__passes_over_suspects_when_told_to(suspects: bool, expected: int) -> None:
    pks = [enqueue(), enqueue()]
    BackgroundTask.objects.filter(pk=pks[0]).update(deaths=1)
    _, claimed = ledger.step(None, None, suspects=suspects)
    assert claimed is not None
    assert claimed.pk == pks[expected]


@pytest.mark.django_db
def test_step__of_nothing() -> None:
    assert ledger.step(None, None) == (False, None)


@pytest.mark.django_db
@pytest.mark.usefixtures("patient")
def test_look_behind__what_is_more_urgent_is_found_at_once() -> None:
    enqueue()
    enqueue()
    claimed = claim()
    urgent = enqueue(priority=1)
    found = next_after(claimed)
    assert found is not None
    assert found.pk == urgent


@pytest.mark.django_db
@pytest.mark.usefixtures("patient")
def test_look_behind__what_came_back_is_found_if_nothing_else_waits() -> None:
    back, _ = enqueue(), enqueue()
    hold(back)
    claimed = claim()
    hold(back, State.WAITING)
    found = next_after(claimed)
    assert found is not None
    assert found.pk == back


@pytest.mark.django_db
@pytest.mark.usefixtures("patient")
def test_look_behind__what_is_less_urgent_is_found_if_nothing_else_waits() -> None:
    enqueue()
    less = enqueue(priority=-1)
    found = next_after(claim())
    assert found is not None
    assert found.pk == less


@pytest.mark.django_db
def test_look_behind__not_where_a_look_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LONG", 60.0)
    back, _ = enqueue(), enqueue()
    hold(back)
    claimed = claim()
    enqueue()
    hold(back, State.WAITING)
    found = next_after(claimed)
    assert found is not None
    assert found.pk == back


@pytest.mark.django_db
@pytest.mark.usefixtures("patient")
def test_look_behind__what_came_back_is_found_a_moment_later() -> None:
    back, _ = enqueue(), enqueue()
    hold(back)
    claimed = claim()
    enqueue()
    hold(back, State.WAITING)
    found = next_after(replace(claimed, behind_until=time.monotonic()))
    assert found is not None
    assert found.pk == back


@pytest.mark.django_db
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("rest", "most", "finds"), [(0, 1000.0, "back"), (10**9, 1000.0, "next"), (10**9, 0.0, "back")]
)
def test_look_behind__for_longer_where_a_look_takes_longer(
    rest: int, most: float, finds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LOOK_BACK", 0.0)
    monkeypatch.setattr(postgresql, "REST", rest)
    monkeypatch.setattr(postgresql, "MOST", most)
    back, _ = enqueue(), enqueue()
    hold(back)
    claimed = claim()
    following = enqueue()
    hold(back, State.WAITING)
    found = next_after(claimed)
    assert found is not None
    assert found.pk == {"back": back, "next": following}[finds]


@pytest.mark.django_db
@pytest.mark.usefixtures("patient")
def test_look_behind__not_behind_a_task_that_ran_for_others() -> None:
    """With a coalesce key the newest runs, from behind tasks that wait."""
    first, second = enqueue(), enqueue()
    newest = enqueue()
    BackgroundTask.objects.filter(pk__in=[first, newest]).update(coalesce_key="k")
    claimed = claim()
    assert claimed.pk == newest
    enqueue()
    found = next_after(claimed)
    assert found is not None
    assert found.pk == second


@pytest.fixture
def snapshot(committed_db: None) -> Iterator[None]:
    """Another transaction that keeps all rows as they are, and many tasks that it still sees."""
    crowds.fill(20_000)
    BackgroundTask.objects.filter(state=State.RUNNING).update(state=State.FAILED)
    BackgroundTask.objects.update(state=State.WAITING, exclusive_key="", coalesce_key="")
    crowds.gather_statistics()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        yield
    other.close()
    crowds.clear()


@pytest.mark.usefixtures("patient", "snapshot")
def test_look_behind__reads_little_beside_an_open_transaction() -> None:
    claimed = claim()
    for _ in range(1500):
        following = next_after(claimed)
        assert following is not None
        claimed = following
    assert effort(lambda: ledger.step(Outcome(claimed, State.SUCCEEDED), None)) < 100


# Within the bounds of a worker ----------------------------------------------------------------


def definition_within() -> str:
    """Return the other function as the database has it, on one line."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [postgresql.WITHIN])
        [(text,)] = cursor.fetchall()
    return " ".join(text.split())


@pytest.mark.django_db
def test_within__asks_first_what_is_asked_without_bounds() -> None:
    assert f"({query('')})" in re.sub(r"\( | \)", lambda m: m[0].strip(), definition_within())


@pytest.mark.django_db
def test_within__looks_into_a_queue_as_other_databases_do() -> None:
    of_queue = selection._of_queue(
        connection, f"{selection._CLAIMABLE} AND (suspects OR deaths = 0)", EVERYTHING, "looked_in"
    )
    assert of_queue.text in definition_within()
    assert f"ORDER BY {selection._in_order(connection)} LIMIT 1" in definition_within()


@pytest.mark.django_db
def test_within__counts_slots_as_other_databases_do() -> None:
    expected = selection._LOWEST_SLOT.replace("%s", "looked_in")
    assert expected in re.sub(r"\( | \)", lambda m: m[0].strip(), definition_within())


@pytest.mark.django_db
@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(queues=("slow",)),
        Bounds(queues=("slow", "default")),
        Bounds(left_out=("default",)),
        Bounds(hooks=("after_edit_page",)),
        Bounds(limits={"slow": 3}),
    ],
)
def test_within__one_round_trip(bounds: Bounds, django_assert_num_queries: Any) -> None:
    for number in range(3):
        tasks.add(number, 1)
    BackgroundTask.objects.update(queue="slow")
    with django_assert_num_queries(1):
        _, claimed = ledger.step(None, None, bounds=bounds)
    assert claimed is not None
    assert (claimed.slot is None) == (not bounds.limits)
    with django_assert_num_queries(1):
        kept, following = ledger.step(Outcome(claimed, State.SUCCEEDED), None, bounds=bounds)
    assert kept
    assert following is not None
    assert following.slot == claimed.slot


@pytest.mark.django_db
def test_within__a_process_of_an_older_release_calls_the_first_function_as_ever() -> None:
    """It does while a newer release has migrated, and is not running everywhere."""
    tasks.add(1, 2)
    with connection.cursor() as cursor:
        cursor.execute(postgresql._CALL, [*[None] * 9, None, True, None, None])
        [row] = cursor.fetchall()
        names = [column.name for column in cursor.description]
    assert len(row) == 19
    assert (names[0], names[-3:]) == ("kept", ["revocations", "expired", "looked_for"])
