"""Property tests of references: whatever the key, the model and the database, the row is found."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, models
from django.utils.functional import SimpleLazyObject
from hypothesis import given
from hypothesis import strategies as st

from tests.oddities.models import Colour, Place, Seat, Ticket, Vehicle
from tests.serialization.strategies import (
    ALIASES,
    OBJECTS,
    PLACES,
    SERIALIZER,
    carried,
    contents,
    examples,
    packed,
    placed,
    same,
    saved,
    texts,
    undone,
    unpacked,
)
from wagtail_async_hooks.serialization.arguments import CHUNK, ModelSequence

pytestmark = pytest.mark.django_db(databases=ALIASES)


def found(instance: models.Model) -> models.Model | None:
    """Return the row of an object, if it has one."""
    return type(instance)._base_manager.using(instance._state.db).filter(pk=instance.pk).first()


def delete(instance: models.Model) -> None:
    """Delete the row of an object, which keeps its key."""
    type(instance)._base_manager.using(instance._state.db).filter(pk=instance.pk).delete()


def everything(instances: Iterable[models.Model]) -> list[dict[str, Any]]:
    """Return the contents of some objects."""
    return [contents(instance) for instance in instances]


def label_and_key(instance: models.Model) -> tuple[str, Any]:
    """Return what a sequence tells of an object that is gone."""
    return instance._meta.label_lower, instance.pk


# One object ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "alias"), PLACES)
@given(data=st.data())
@examples(15)
def test_model__arrives_as_its_row(model: type[models.Model], alias: str, data: Any) -> None:
    with undone():
        row = saved(data.draw(OBJECTS[model]), alias)

        arrived = carried(row, "model")

        assert arrived is not row
        assert same(contents(arrived), contents(row))


@given(key=texts)
@examples(50)
def test_model__any_text_can_be_a_key(key: str) -> None:
    """No database of ours takes all of them, but one of a site might."""
    place = Place(code=key)
    place._state.adding = False

    reference = SERIALIZER.deserialize(packed(place)).args[1]

    assert reference.payload == {"model": "oddities.place", "pk": key}


WRITTEN = {
    "a number as text": (Vehicle, {"pk": "7"}),
    "a UUID as text": (Ticket, {"pk": "00000000-0000-4000-8000-000000000001"}),
    "a UUID as another text": (Ticket, {"pk": "{00000000000040008000000000000001}"}),
    "a member of an enumeration": (Place, {"pk": Colour.RED}),
    "a number as text, among others": (Seat, {"row": "a", "number": "7"}),
    "a member of an enumeration, among others": (Seat, {"row": Colour.RED, "number": 7}),
}


@pytest.mark.parametrize(("model", "fields"), WRITTEN.values(), ids=WRITTEN)
def test_model__with_a_key_as_code_may_write_it(
    model: type[models.Model], fields: dict[str, Any]
) -> None:
    instance = model._base_manager.create(**fields)

    alone, [listed] = unpacked(packed((instance, [instance])))

    row = contents(model._base_manager.get())
    assert same(contents(alone), row)
    assert same(contents(listed), row)


# Many objects -------------------------------------------------------------------------------


def _which(placed: tuple[models.Model, str]) -> tuple[Any, ...]:
    """Tell objects that have a key apart."""
    instance, alias = placed
    return alias, type(instance), id(instance) if instance.pk is None else instance.pk


@given(
    drawn=st.lists(placed, min_size=1, max_size=5, unique_by=_which),
    places=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    gone=st.sets(st.integers(0, 4), max_size=3),
)
@examples(40)
def test_models__arrive_in_order_without_those_that_are_gone(
    drawn: list[tuple[models.Model, str]],
    places: list[int],
    gone: set[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.clear()
    caplog.set_level(logging.INFO)
    with undone():
        rows = [saved(instance, alias) for instance, alias in drawn]
        passed = [rows[place % len(rows)] for place in places]
        data = packed(passed)
        for place in gone:
            delete(rows[place % len(rows)])

        arrived = unpacked(data)

        expected = [(row, found(row)) for row in passed]
        assert type(arrived) is ModelSequence
        assert same(everything(arrived), everything(there for _, there in expected if there))
        assert same(arrived.keys, [row.pk for row in passed])
        missing = [label_and_key(row) for row, there in expected if not there]
        assert same(arrived.gone, missing)
        told = [f"{len(missing)} of {len(passed)} objects are gone"] if missing else []
        assert [message.partition(":")[0] for message in caplog.messages] == told


@pytest.mark.parametrize(("model", "alias"), PLACES)
@given(data=st.data())
@examples(5)
def test_models__of_a_queryset(model: type[models.Model], alias: str, data: Any) -> None:
    drawn = data.draw(st.lists(OBJECTS[model], max_size=4))
    with undone():
        for instance in drawn:
            saved(instance, alias)
        rows = model._base_manager.using(alias).order_by("-pk")

        arrived = carried(rows, "models")

        assert type(arrived) is ModelSequence
        assert same(everything(arrived), everything(rows))


@given(drawn=st.lists(placed, max_size=4, unique_by=_which))
@examples(30)
def test_sequence__can_be_passed_on(drawn: list[tuple[models.Model, str]]) -> None:
    with undone():
        rows = [saved(instance, alias) for instance, alias in drawn]
        first = unpacked(packed([*rows, Group.objects.create(name="a")]))

        arrived = carried(first, "sequence")

        assert same(arrived.keys, first.keys)
        assert same(everything(arrived), everything(first))


def test_models__that_are_loaded_when_they_are_needed() -> None:
    """As the user of a request is."""
    group = Group.objects.create(name="a")

    arrived = carried([SimpleLazyObject(lambda: group), group], "models")

    assert [*arrived] == [group, group]


@pytest.mark.parametrize("alias", ALIASES)
def test_models__with_composite_keys_in_portions(alias: str) -> None:
    seats = [Seat(row="a", number=n) for n in range(CHUNK + 1)]
    Seat.objects.using(alias).bulk_create(seats)

    arrived = carried(Seat.objects.using(alias).order_by("-number"), "models")

    assert [seat.number for seat in arrived] == [*range(CHUNK, -1, -1)]


@pytest.mark.skipif(connection.vendor != "mysql", reason="elsewhere case and accents matter")
def test_models__whose_rows_spell_the_key_in_another_way() -> None:
    Place.objects.create(code="Ä")
    place = Place(code="a", is_hidden=True)
    place.save()  # that row

    arrived = carried([place, place], "models")

    assert [(found.code, found.is_hidden) for found in arrived] == [("Ä", True)] * 2
    assert arrived.gone == []
