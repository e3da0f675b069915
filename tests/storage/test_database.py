"""The database as a Huey storage: Huey's own tests, and what they do not ask."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from django.db import connections
from django.db.models.signals import post_save
from django.utils import timezone
from huey.api import Huey

from tests import huey_tests
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.task_queue import TaskQueue
from wagtail_async_hooks.storage.database import DatabaseStorage
from wagtail_async_hooks.types import State

BaseTestCase = huey_tests.load("base").BaseTestCase
StorageTests = huey_tests.load("test_storage").StorageTests


class HueysTestCase(BaseTestCase):  # type: ignore[misc]
    """Huey's consumer leaves its threads' connections to the garbage collector: collect here."""

    def tearDown(self) -> None:
        super().tearDown()
        gc.collect()


@pytest.mark.slow
@pytest.mark.usefixtures("committed_db")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestHueysOwn(StorageTests, HueysTestCase):  # type: ignore[misc]
    """Huey's tests of a storage, as they are, on the task queue."""

    def get_huey(self) -> Huey:
        return TaskQueue("storage_tests")


@pytest.mark.slow
@pytest.mark.usefixtures("committed_db")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestHueysOwnWithStockHuey(StorageTests, HueysTestCase):  # type: ignore[misc]
    """Huey's tests of a storage, as they are, on a Huey that knows nothing of the ledger."""

    def get_huey(self) -> Huey:
        return Huey("stock", storage_class=DatabaseStorage)


@pytest.fixture
def storage() -> DatabaseStorage:
    return DatabaseStorage("tests")


@pytest.mark.django_db
def test_values__two_storages_are_kept_apart(storage: DatabaseStorage) -> None:
    other = DatabaseStorage("other")
    storage.put_data("key", b"mine")
    other.put_data("key", b"theirs")
    storage.incr("count", 2)
    other.flush_all()
    assert storage.peek_data("key") == b"mine"
    assert storage.incr("count") == 3


@pytest.mark.django_db
def test_values__keys_are_exact(storage: DatabaseStorage) -> None:
    storage.put_data("Key", b"upper")
    assert not storage.has_data_for_key("key")
    assert storage.put_if_empty("key", b"lower")
    assert storage.peek_many(["key", "Key"]) == {"key": b"lower", "Key": b"upper"}


@pytest.mark.django_db
@pytest.mark.parametrize("value", [b"", b"\x00\xff", b"x" * 100_000])
def test_put_data__any_bytes(storage: DatabaseStorage, value: bytes) -> None:
    storage.put_data("key", value)
    assert storage.pop_data("key") == value


@pytest.mark.slow
def test_put_if_empty__one_of_many_threads_wins(
    committed_db: None, storage: DatabaseStorage
) -> None:
    assert _in_threads(lambda number: storage.put_if_empty("lock", b"%d" % number)) == [
        *[False] * 7,
        True,
    ]


@pytest.mark.slow
def test_incr__no_thread_is_forgotten(committed_db: None, storage: DatabaseStorage) -> None:
    assert _in_threads(lambda number: storage.incr("count")) == list(range(1, 9))


@pytest.mark.django_db
def test_flush__tasks_are_cancelled_and_stay(storage: DatabaseStorage) -> None:
    storage.enqueue(b"one")
    storage.flush_queue()
    row = BackgroundTask.objects.get()
    assert (row.state, row.error) == (State.CANCELLED, "the queue was flushed")


def _in_threads(call: Any) -> list[Any]:
    """Return what eight threads got, sorted."""
    results: list[Any] = []
    barrier = threading.Barrier(8)

    def run(number: int) -> None:
        barrier.wait()
        try:
            results.append(call(number))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


def new_row(editor: Any, task_id: str) -> dict[str, Any]:
    """Return what is recorded of a task that has a value of each kind."""
    return {
        "task_id": task_id,
        "name": "a name",
        "message": b"\x00 a message",
        "priority": -3,
        "state": State.SCHEDULED,
        "run_at": timezone.now(),
        "worker_id": None,
        "enqueued_at": timezone.now(),
        "user_id": editor.pk,
        "subject_type_id": 1,
        "subject_id": "7",
        "cancel_requested": True,
        "messages": [{"text": "ä"}],
    }


@pytest.mark.parametrize("columns", [slice(None), slice(6)])
def test_insert__in_sql_writes_what_the_orm_would(db: None, editor: Any, columns: slice) -> None:
    given = dict([*new_row(editor, "one").items(), ("queue", "slow")][columns])
    given["enqueued_at"] = timezone.now()

    fast = ledger.insert(given)
    slow = BackgroundTask.objects.create(**given).pk
    [bulk] = ledger.insert_many([given])

    one, *others = (BackgroundTask.objects.values().get(pk=pk) for pk in (fast, slow, bulk))
    for other in others:
        assert {**other, "id": fast} == one
    assert {name: one[name] for name in given} == given


def test_insert__tells_receivers_of_what_is_saved_as_the_orm_would(db: None, editor: Any) -> None:
    told: list[Any] = []

    def listen(sender: Any, instance: Any, signal: Any, **kwargs: Any) -> None:
        row = {field.attname: getattr(instance, field.attname) for field in instance._meta.fields}
        told.append((sender, row, instance._state.adding, instance._state.db, kwargs))

    given = new_row(editor, "one")
    post_save.connect(listen)
    try:
        fast = ledger.insert(given)
        BackgroundTask.objects.create(**given)
    finally:
        post_save.disconnect(listen)

    (sender, row, *rest), (other_sender, other_row, *other_rest) = told
    assert (sender, rest) == (other_sender, other_rest)
    assert row["id"] == fast
    assert {**other_row, "id": fast} == row
