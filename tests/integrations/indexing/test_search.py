"""Tests of ``update_index`` as a background task: progress, cancelling, and the same result."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from modelsearch.index import get_indexed_models
from wagtail.models import Page
from wagtail.search.models import IndexEntry

from tests.integrations.indexing.conftest import make_pages, run, run_and_cancel
from tests.integrations.tasks_backend.test_wagtails_own import search_index
from tests.processes import Process, wait_until
from tests.site.blog.models import Author, BlogPage
from wagtail_async_hooks.integrations.indexing import search
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import Progress, State


def objects() -> int:
    """Return how many objects are to be indexed; a page counts as what it is, and as a page."""
    return sum(model.get_indexed_objects().count() for model in get_indexed_models())


def damage(pages: list[BlogPage]) -> None:
    """Take some entries away, spoil one, and leave one of an object that is gone."""
    of_pages = IndexEntry.objects.filter(object_id__in=[str(page.pk) for page in pages[:4]])
    of_pages.delete()
    kind = IndexEntry.objects.filter(object_id=str(pages[5].pk)).values_list("content_type_id")
    IndexEntry.objects.create(
        content_type_id=kind[0][0], object_id="987654", title="gone", autocomplete="", body=""
    )


def test_update_index__is_what_wagtails_own_makes(
    pages: list[BlogPage], reported: list[Progress]
) -> None:
    damage(pages)
    call_command("update_index", verbosity=0)
    expected = search_index()
    damage(pages)
    assert search_index() != expected

    task = run("update_index", chunk_size=3)

    assert task.state == State.SUCCEEDED, task.traceback
    assert search_index() == expected
    done = [step.done for step in reported]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, objects())
    assert len(set(done)) > 3
    assert {step.total for step in reported} == {objects()}
    assert "blog pages" in {step.note for step in reported}


def test_update_index__cancelled_in_the_middle(
    pages: list[BlogPage], reported: list[Progress]
) -> None:
    call_command("update_index", verbosity=0)
    expected = search_index()
    IndexEntry.objects.all().delete()

    task = run_and_cancel("update_index", after=4, chunk_size=2)

    assert (task.state, task.error) == (State.CANCELLED, "it was cancelled")
    half = search_index()
    assert 0 < len(half) < len(expected)
    assert half.items() <= expected.items()
    assert run("update_index").state == State.SUCCEEDED
    assert search_index() == expected


def test_update_index__the_schema_only(pages: list[BlogPage]) -> None:
    IndexEntry.objects.all().delete()
    task = run("update_index", schema_only=True)
    assert (task.state, task.progress_total) == (State.SUCCEEDED, 0)
    assert search_index() == {}


@pytest.mark.django_db
def test_update_index__a_backend_that_does_not_exist() -> None:
    task = run("update_index", backend_name="nonesuch")
    assert task.state == State.FAILED
    assert "nonesuch" in task.error


def test_update_index__holds_no_transaction_while_it_reports(
    pages: list[BlogPage], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a test, each task runs within a savepoint.
    outside, depths = len(connection.savepoint_ids) + 1, []
    monkeypatch.setattr(
        search, "progress", lambda *args: depths.append(len(connection.savepoint_ids))
    )
    run("update_index", chunk_size=2)
    assert len(depths) > 3
    assert set(depths) == {outside}


@pytest.mark.slow
def test_indexes__in_a_worker(start: Callable[..., Process], backend: dict[str, str]) -> None:
    make_pages(5)
    try:
        names = ("update_index", "rebuild_references_index")
        run = ("wagtail_tasks", "run", "--wait", "--json")
        runs = [start(*run, name, **backend) for name in names]
        start("wagtail_worker", **backend)
        assert [process.wait() for process in runs] == [0, 0]
        wait_until(lambda: BackgroundTask.objects.filter(state="succeeded").count() == 2, "ended")
        for process in runs:
            said = process.said()
            told: Any = json.loads(said[said.index("{") :])
            assert told["progress"]["done"] == told["progress"]["total"] >= 5
            assert "ndexed" in told["result"]
    finally:
        Page.objects.get(slug="indexed").delete()
        Author.objects.filter(name="Ada").delete()
