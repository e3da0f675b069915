"""Property tests of copies: each field and child is as it was, and the original stays as it is."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import models
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from tests.oddities.models import (
    Album,
    Amount,
    Colour,
    Everything,
    Place,
    Song,
    Ticket,
    TowTruck,
    Verse,
)
from tests.serialization.strategies import (
    ALIASES,
    OBJECTS,
    PLACES,
    carried,
    change,
    contents,
    dates_and_times,
    decimals,
    examples,
    numbers,
    packed,
    same,
    saved,
    texts,
    times,
    undone,
    unpacked,
    values,
)
from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.serialization.arguments import Snapshot

pytestmark = pytest.mark.django_db(databases=ALIASES)


def state(instance: Any) -> dict[str, Any]:
    """Return what is in an object, without asking the database for more."""
    kept = {name: value for name, value in vars(instance).items() if name != "_state"}
    related = kept.pop("_cluster_related_objects", {})
    return {**kept, "related": {name: [*map(state, found)] for name, found in related.items()}}


@pytest.mark.parametrize(("model", "alias"), PLACES)
@given(data=st.data())
@examples(20)
def test_snapshot__arrives_as_the_object_was(
    model: type[models.Model], alias: str, data: Any
) -> None:
    with undone():
        original = saved(data.draw(OBJECTS[model]), alias)
        was, kept = contents(original), state(original)

        data = packed(Snapshot.of(original))

        assert state(original) == kept
        assert same(contents(original), was)
        original.delete()
        arrived = unpacked(data)
        assert arrived._state.adding
        assert same(contents(arrived), was)


@pytest.mark.parametrize(("model", "alias"), PLACES)
@given(data=st.data())
@examples(10)
def test_snapshot__of_an_object_that_was_changed(
    model: type[models.Model], alias: str, data: Any
) -> None:
    """Not what is in the database counts, but what is in the object."""
    with undone():
        original = saved(data.draw(OBJECTS[model]), alias)
        change(original, data.draw(OBJECTS[model]))
        was, kept = contents(original), state(original)

        arrived = carried(Snapshot.of(original), "snapshot")

        assert state(original) == kept
        assert same(contents(arrived), was)


ANYTHING = {
    "big": numbers,
    "binary": st.binary(),
    "boolean": st.booleans(),
    "colour": texts,
    "date": st.dates(),
    "moment": dates_and_times,
    "time": times,
    "duration": st.timedeltas(),
    "price": decimals,
    "number": st.floats(),
    "document": values,
    "file": texts,
    "address": st.one_of(st.ip_addresses(v=4).map(str), st.just("nowhere")),
    "identifier": st.uuids(),
    "text": texts,
    "amount": st.builds(Amount, numbers),
    "ticket_id": st.uuids(),
    "made_at": dates_and_times,
    "changed_at": dates_and_times,
    "changed_on": st.dates(),
}
"""Values that no column may take, but that an object may have."""


@given(
    always=st.fixed_dictionaries({"rank": numbers, "twice": numbers}),
    some=st.dictionaries(st.sampled_from([*ANYTHING]), st.just(None)).flatmap(
        lambda names: st.fixed_dictionaries({name: ANYTHING[name] for name in names})
    ),
)
@examples(100)
def test_snapshot__with_anything_in_its_fields(
    always: dict[str, Any], some: dict[str, Any]
) -> None:
    original = Everything(pk=7)
    for name, value in {**always, **some}.items():
        setattr(original, name, value)
    original._state.db = "default"
    was = contents(original)

    arrived = carried(Snapshot.of(original), "snapshot")

    assert same(contents(arrived), was)


# As code may leave an object -----------------------------------------------------------------


class Level(models.IntegerChoices):
    """A number to Python and to the database."""

    HIGH = 3


MOMENT = datetime.datetime(2026, 5, 1, 10, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
KEY = uuid.UUID("00000000-0000-4000-8000-000000000001")

WRITTEN: dict[tuple[type[models.Model], str], list[Any]] = {
    (Everything, "big"): ["7", Level.HIGH, 7.0],
    (Everything, "binary"): [bytearray(b"x"), memoryview(b"x")],
    (Everything, "boolean"): [1, "f"],
    (Everything, "colour"): [Colour.RED],
    (Everything, "date"): ["2026-05-01", datetime.datetime(2026, 5, 1, 10)],
    (Everything, "moment"): [MOMENT.isoformat(), MOMENT],
    (Everything, "time"): ["10:30", datetime.datetime(2026, 5, 1, 10, 30)],
    (Everything, "price"): ["9.90", 9, 0.5],
    (Everything, "number"): ["0.5", decimal.Decimal("0.5")],
    (Everything, "document"): [OrderedDict(a=(1, 2)), {"high": Level.HIGH}, Colour.RED],
    (Everything, "file"): ["a.txt"],
    (Everything, "address"): ["0::1"],
    (Everything, "identifier"): ["{00000000000040008000000000000001}", 1],
    (Everything, "text"): [7, gettext_lazy("January"), Colour.RED],
    (Everything, "amount"): [7],
    (Everything, "ticket_id"): [KEY.hex],
    (Everything, "body"): [[("heading", "x")], '[{"type": "heading", "value": "x", "id": "1"}]'],
    (Everything, "pk"): ["7"],
    (Album, "pk"): [KEY.hex],
    (Album, "title"): [7, Colour.RED],
    (Album, "price"): ["9.90", 9, Level.HIGH],
    (Album, "cover"): [bytearray(b"x")],
    (Album, "notes"): [OrderedDict(a=(1, 2)), {"high": Level.HIGH}, [Colour.RED]],
}
"""What fields take, and what is something else once the object is read again."""


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        pytest.param(model, name, value, id=f"{model.__name__}.{name}: {type(value).__name__}")
        for (model, name), written in WRITTEN.items()
        for value in written
    ],
)
def test_snapshot__of_what_was_saved_and_not_read_again(
    model: type[models.Model], name: str, value: Any
) -> None:
    Ticket.objects.create(pk=KEY)
    original = model._base_manager.create(**{name: value})
    row = contents(model._base_manager.get())

    arrived = contents(carried(Snapshot.of(original), "snapshot"))

    assert arrived == row
    assert [type(v) for v in arrived.values()] == [type(v) for v in row.values()]


def test_snapshot__of_what_the_field_does_not_take() -> None:
    original = saved(Everything(big=1), "default")
    original.address, original.price = "nowhere", decimal.Decimal("Infinity")

    arrived = carried(Snapshot.of(original), "snapshot")

    assert (arrived.address, arrived.price) == (original.address, original.price)


def test_snapshot__of_what_was_saved_as_an_expression() -> None:
    original = Everything.objects.create(big=1)
    original.big = models.F("big") + 1
    original.save()

    arrived = carried(Snapshot.of(original), "snapshot")

    assert (arrived.big, arrived.rank) == (2, 7)


@pytest.mark.parametrize("alias", ALIASES)
def test_snapshot__of_what_was_not_read_yet(alias: str, django_assert_num_queries: Any) -> None:
    row = contents(saved(TowTruck(name="a", load=3), alias))
    original = TowTruck.objects.using(alias).only("name").get()
    unread = original.get_deferred_fields()

    with django_assert_num_queries(1, using=alias):
        snapshot = Snapshot.of(original)

    assert original.get_deferred_fields() == unread
    assert same(contents(carried(snapshot, "snapshot")), row)


def test_snapshot__of_what_was_not_read_and_cannot_be_any_more() -> None:
    Place.objects.create(code="a")
    original = Place.objects.only("code").get()
    Place.objects.all().delete()

    with pytest.raises(CannotSerialize) as refused:
        Snapshot.of(original)

    assert str(refused.value) == (
        "is_hidden of the Place was not read from the database before it was deleted, so it "
        "cannot be copied."
    )


def test_snapshot__leaves_a_file_that_was_not_stored_alone(tmp_path: Path, settings: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    album = Album(file=ContentFile(b"x", name="a.txt"))

    arrived = carried(Snapshot.of(album), "snapshot")

    assert arrived.file.name == "a.txt"
    assert [*tmp_path.rglob("*")] == []


def test_snapshot__dates_of_children_whose_keys_are_uuids() -> None:
    album = saved(Album(songs=[Song(verses=[Verse()])]), "default")
    Song.objects.update(changed_at=MOMENT)
    Verse.objects.update(changed_on=MOMENT.date())

    [song] = carried(Snapshot.of(album), "snapshot").songs.all()

    assert song.changed_at == MOMENT
    assert song.verses.get().changed_on == MOMENT.date()


def test_snapshot__children_stay_in_the_order_of_the_database() -> None:
    """Those without a place come first on SQLite, and last on PostgreSQL."""
    verses = [Verse(text=str(place), sort_order=place) for place in (2, None, 1)]
    original = saved(Album(songs=[Song(verses=verses)]), "default")

    arrived = carried(Snapshot.of(original), "snapshot")

    texts = [[verse.text for verse in a.songs.get().verses.all()] for a in (original, arrived)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("alias", ALIASES)
def test_snapshot__points_at_what_is_in_the_same_database(alias: str) -> None:
    for each in ALIASES:
        Ticket.objects.using(each).create(pk=KEY, text=each)
    ticket = Ticket.objects.using(alias).get()
    album = saved(Album(tickets=[ticket]), alias)
    anything = saved(Everything(ticket=ticket), alias)

    album, anything = [carried(Snapshot.of(original), "snapshot") for original in (album, anything)]

    assert album.tickets.get().text == alias
    assert anything.ticket.text == alias


def test_snapshot__what_it_points_at_may_be_gone_as_well() -> None:
    tickets = [Ticket.objects.create(text=text) for text in ("a", "b")]
    data = packed(Snapshot.of(saved(Album(tickets=tickets), "default")))
    tickets[0].delete()

    assert [ticket.text for ticket in unpacked(data).tickets.all()] == ["b"]


def test_snapshot__of_before_a_field_was_added() -> None:
    snapshot = Snapshot.of(Place(code="a", is_hidden=True))
    del snapshot.data["is_hidden"]

    assert carried(snapshot, "snapshot").is_hidden is False
