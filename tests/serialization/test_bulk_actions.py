"""Property tests of what a worker sees of a bulk action."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oddities.models import Place
from tests.serialization.strategies import (
    ALIASES,
    carried,
    contents,
    examples,
    placed,
    same,
    saved,
    texts,
    undone,
    values,
)
from wagtail_async_hooks.serialization.arguments import BulkActionInfo


@given(
    names=st.tuples(texts, texts, texts),
    cleaned_data=st.dictionaries(texts, values, max_size=3),
)
@examples(50)
def test_bulk_action__arrives_as_it_was(
    names: tuple[str, str, str], cleaned_data: dict[str, Any]
) -> None:
    arrived = carried(BulkActionInfo(*names, cleaned_data), "bulk_action")

    assert type(arrived) is BulkActionInfo
    assert (arrived.action_type, arrived.model, arrived.view) == names
    assert same(arrived.cleaned_data, cleaned_data)


@given(
    cleaned_data=st.dictionaries(texts, values, max_size=3),
    unsuited=st.dictionaries(texts, st.builds(object) | st.builds(Place), max_size=3),
)
@examples(30)
def test_bulk_action__tells_what_of_the_form_can_be_carried(
    cleaned_data: dict[str, Any], unsuited: dict[str, Any]
) -> None:
    view = SimpleNamespace(
        action_type="publish",
        model=Place,
        cleaned_form=SimpleNamespace(cleaned_data={**unsuited, **cleaned_data}),
    )

    arrived = carried(BulkActionInfo.of(view), "bulk_action")

    assert arrived.cleaned_data.keys() == cleaned_data.keys()
    assert all(same(arrived.cleaned_data[name], value) for name, value in cleaned_data.items())


def test_bulk_action__a_value_that_contains_itself_is_left_out() -> None:
    endless: list[Any] = []
    endless.append(endless)
    form = SimpleNamespace(cleaned_data={"endless": endless, "count": 1})
    view = SimpleNamespace(action_type="publish", model=Place, cleaned_form=form)

    assert BulkActionInfo.of(view).cleaned_data == {"count": 1}


@pytest.mark.django_db(databases=ALIASES)
@given(chosen=placed)
@examples(20)
def test_bulk_action__with_an_object_that_was_chosen(chosen: tuple[Any, str]) -> None:
    with undone():
        row = saved(*chosen)

        arrived = carried(BulkActionInfo("move", "", "", {"to": row}), "bulk_action")

        assert same(contents(arrived.cleaned_data["to"]), contents(row))
