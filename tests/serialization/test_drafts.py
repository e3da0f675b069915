"""Property tests of drafts: what arrives is what was saved in the editor, whatever became of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from hypothesis import given
from hypothesis import strategies as st
from wagtail.models import Revision

from tests.oddities.models import Leaflet
from tests.serialization.strategies import (
    ALIASES,
    OBJECTS,
    PLACES,
    carried,
    change,
    contents,
    examples,
    packed,
    read,
    same,
    saved,
    undone,
    unpacked,
)
from wagtail_async_hooks.serialization.arguments import Draft

pytestmark = pytest.mark.django_db(databases=ALIASES)

leaflets = OBJECTS[Leaflet]
edits = st.tuples(leaflets, st.booleans())
"""What an editor writes, and whether it is published."""

OF_THE_ROW = ("first_published_at", "last_published_at", "latest_revision_id", "live_revision_id")


def edit(leaflet: Leaflet, written: Leaflet, *, publish: bool) -> dict[str, Any]:
    """Do what an editor does; return what was written."""
    change(leaflet, written)
    was = text_of(leaflet)
    revision = leaflet.save_revision(clean=False)
    if publish:
        revision.publish()
    leaflet.refresh_from_db()
    return was


def text_of(leaflet: Any) -> dict[str, Any]:
    """Return what an editor can write."""
    found = contents(leaflet)
    lines = [line["text"] for line in found["lines"]]
    return {"title": found["title"], "body": found["body"], "lines": lines}


@given(first=leaflets, history=st.lists(edits, min_size=1, max_size=3))
@examples(25)
def test_draft__arrives_as_it_was_saved(
    first: Leaflet, history: list[tuple[Leaflet, bool]]
) -> None:
    with undone():
        leaflet = saved(first, "default")
        for written, publish in history:
            was = edit(leaflet, written, publish=publish)

        arrived = carried(Draft(leaflet), "draft")

        row = read(Leaflet, "default", leaflet.pk)
        assert same(text_of(arrived), was)
        assert [getattr(arrived, n) for n in OF_THE_ROW] == [getattr(row, n) for n in OF_THE_ROW]
        assert (type(arrived), arrived.pk) == (Leaflet, leaflet.pk)
        assert type(arrived.pk) is type(leaflet.pk)
        assert [line.leaflet_id for line in arrived.lines.all()] == [leaflet.pk] * len(was["lines"])
        assert (arrived._state.db, arrived._state.adding) == ("default", False)


@given(
    first=leaflets,
    saved_=leaflets,
    since=st.lists(edits, max_size=2),
    purged=st.booleans(),
)
@examples(25)
def test_draft__arrives_as_it_was_saved_unless_that_was_purged(
    first: Leaflet, saved_: Leaflet, since: list[tuple[Leaflet, bool]], purged: bool
) -> None:
    with undone():
        leaflet = saved(first, "default")
        then = now = edit(leaflet, saved_, publish=False)
        revision = leaflet.latest_revision_id
        data = packed(Draft(leaflet))
        for written, publish in since:
            now = edit(leaflet, written, publish=publish)
        if purged:
            Revision.objects.filter(pk=revision).delete()
            if not since:
                now = text_of(read(Leaflet, "default", leaflet.pk))

        assert same(text_of(unpacked(data)), now if purged else then)


@pytest.mark.parametrize(("model", "alias"), PLACES)
@given(data=st.data())
@examples(5)
def test_draft__of_what_has_none_is_its_row(
    model: type[models.Model], alias: str, data: Any
) -> None:
    with undone():
        row = saved(data.draw(OBJECTS[model]), alias)

        arrived = carried(Draft(row), "draft")

        assert same(contents(arrived), contents(row))
