"""Property tests of deleted objects: which they were, and the first ones as they were."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from hypothesis import given
from hypothesis import strategies as st

from tests.serialization.strategies import (
    ALIASES,
    OBJECTS,
    PLACES,
    carried,
    contents,
    examples,
    same,
    saved,
    undone,
)
from wagtail_async_hooks.serialization.arguments import Snapshot
from wagtail_async_hooks.serialization.deleted_objects import DeletedList
from wagtail_async_hooks.serialization.models import encode_model

pytestmark = pytest.mark.django_db(databases=ALIASES)


def listed(data: Any, model: type[models.Model], alias: str) -> tuple[DeletedList, list[Any]]:
    """Return a list of objects that are gone, and what was in those that were copied."""
    originals = [
        saved(data.draw(OBJECTS[model]), alias) for _ in range(data.draw(st.integers(1, 3)))
    ]
    number = data.draw(st.integers(0, len(originals)))
    references = [encode_model(each) for each in originals]
    copies = [Snapshot.of(each) for each in originals[:number]]
    was = [contents(each) for each in originals[:number]]
    for each in originals:
        each.delete()
    return DeletedList(references, copies), was


@pytest.mark.parametrize(("model", "alias"), PLACES)
@given(data=st.data())
@examples(5)
def test_deleted__arrive_as_the_objects_were(
    model: type[models.Model], alias: str, data: Any
) -> None:
    with undone():
        given_list, was = listed(data, model, alias)
        keys = [each["pk"] for each in given_list.references]

        arrived = carried(given_list, "deleted")

        assert [str(key) for key in arrived.keys] == [str(key) for key in keys]
        assert same([contents(each) for each in arrived], was)
        copied = keys[: len(was)]  # by chance, another object may have had the same key
        assert len(arrived.gone) == sum(key not in copied for key in keys)


@pytest.mark.parametrize(("model", "alias"), PLACES)
@given(data=st.data())
@examples(5)
def test_deleted_objects__are_handed_on(model: type[models.Model], alias: str, data: Any) -> None:
    """A function passes what it got to another task."""
    with undone():
        given_list, was = listed(data, model, alias)
        objects = carried(given_list, "deleted")

        arrived = carried(objects, "deleted_objects")

        assert list(arrived.keys) == list(objects.keys)
        assert same([contents(each) for each in arrived], was)
