"""Tests of ``rebuild_references_index`` as a background task."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from wagtail.models import Page, ReferenceIndex

from tests.integrations.indexing.conftest import run, run_and_cancel
from tests.site.blog.models import Author, BlogPage
from wagtail_async_hooks.integrations.indexing import references
from wagtail_async_hooks.types import Progress, State


def index() -> set[tuple[Any, ...]]:
    """Return all that the index holds, but for the keys of its rows."""
    names = [field.attname for field in ReferenceIndex._meta.fields if field.name != "id"]
    return set(ReferenceIndex.objects.values_list(*names))


def damage(pages: list[BlogPage]) -> None:
    """Take references away, and leave some that there are no objects for."""
    ReferenceIndex.objects.filter(object_id=str(pages[0].pk)).delete()
    kinds = ContentType.objects.get_for_models(Page, BlogPage, Author)
    wrong = {
        "to_content_type": kinds[Author],
        "to_object_id": str(pages[0].author_id),
        "model_path": "author",
    }
    left = [
        (kinds[BlogPage], kinds[Page], "987654"),  # of a page that is gone
        (kinds[BlogPage], kinds[Page], "no number"),
        (kinds[BlogPage], kinds[Page], str(pages[1].pk)),  # of a field that it has no more
        (kinds[BlogPage], kinds[BlogPage], "1"),  # of a model that is none of the indexed ones
    ]
    for number, (kind, base, key) in enumerate(left):
        ReferenceIndex.objects.create(
            content_type=kind,
            base_content_type=base,
            object_id=key,
            content_path=f"author.{number}",
            content_path_hash=ReferenceIndex._get_content_path_hash(f"author.{number}"),
            **wrong,
        )


def test_rebuild__is_what_wagtails_own_makes(
    pages: list[BlogPage], reported: list[Progress]
) -> None:
    damage(pages)
    call_command("rebuild_references_index", verbosity=0)
    expected = index()
    assert len(expected) >= 7
    damage(pages)
    assert index() != expected

    task = run("rebuild_references_index", chunk_size=3)

    assert task.state == State.SUCCEEDED, task.traceback
    assert index() == expected
    done = [step.done for step in reported]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, reported[0].total)
    assert len(set(done)) > 7


def test_rebuild__cancelled_in_the_middle(pages: list[BlogPage], reported: list[Progress]) -> None:
    call_command("rebuild_references_index", verbosity=0)
    expected = index()
    ReferenceIndex.objects.all().delete()

    task = run_and_cancel("rebuild_references_index", after=reported_pages(pages) - 3)

    assert task.state == State.CANCELLED
    assert set() < index() < expected
    assert run("rebuild_references_index").state == State.SUCCEEDED
    assert index() == expected


def reported_pages(pages: list[BlogPage]) -> int:
    """Return how much is done when the pages are."""
    done = 0
    for root in references.indexed_models():
        done += root._base_manager.count()
        if root is Page:
            return done
    raise AssertionError("pages are not indexed")


def test_rebuild__an_object_that_is_deleted_meanwhile(
    pages: list[BlogPage], monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild = references._rebuild

    def delete_first(root: Any, key: Any, found: Any) -> None:
        if root is Page and key == pages[2].pk:
            Page.objects.get(pk=key).delete()
        rebuild(root, key, found)

    monkeypatch.setattr(references, "_rebuild", delete_first)
    assert run("rebuild_references_index").state == State.SUCCEEDED
    assert not ReferenceIndex.objects.filter(object_id=str(pages[2].pk)).exists()
