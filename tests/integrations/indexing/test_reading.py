"""Tests of how objects are read and held while an index is rebuilt."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from tests.limits import PATIENCE
from tests.site.blog.models import Author
from wagtail_async_hooks.integrations.indexing.reading import hold, keys_of


@pytest.mark.parametrize("number", [0, 3, 4, 7])
@pytest.mark.django_db
def test_keys_of__all_in_order_whatever_the_size(number: int) -> None:
    made = sorted(Author.objects.create(name=str(n)).pk for n in range(number))
    chunks = list(keys_of(Author.objects.filter(pk__in=made), 3))
    assert [key for chunk in chunks for key in chunk] == made
    assert all(len(chunk) <= 3 for chunk in chunks)


@pytest.mark.django_db
def test_keys_of__what_is_deleted_meanwhile_shifts_nothing() -> None:
    made = sorted(Author.objects.create(name=str(n)).pk for n in range(6))
    chunks = keys_of(Author.objects.filter(pk__in=made), 2)
    assert next(chunks) == made[:2]
    Author.objects.filter(pk=made[0]).delete()
    assert next(chunks) == made[2:4]


@pytest.mark.django_db
def test_hold__what_there_is() -> None:
    key = Author.objects.create(name="Ada").pk
    assert hold(Author, [key, key + 1], "default") == [key]


@pytest.mark.slow
def test_hold__passes_over_what_somebody_changes(committed_db: None) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip(f"{connection.display_name} has no rows that are skipped")
    first, second = (Author.objects.create(name=name) for name in ("Ada", "Bea"))
    changed, end = threading.Event(), threading.Event()

    def change() -> None:
        with transaction.atomic():
            Author.objects.filter(pk=first.pk).update(name="Cleo")
            changed.set()
            end.wait(PATIENCE)
        connections.close_all()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert changed.wait(PATIENCE)
        with transaction.atomic():
            assert hold(Author, [first.pk, second.pk], "default", wait=False) == [second.pk]
        end.set()
        with transaction.atomic():
            assert hold(Author, [first.pk, second.pk], "default") == [first.pk, second.pk]
    finally:
        end.set()
        thread.join()
        Author.objects.filter(pk__in=[first.pk, second.pk]).delete()
