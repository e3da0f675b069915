"""Values of all kinds for property tests, a trip to the worker for them, and what tells them apart.

What is called ``stored_…`` is taken by every database of the tests. Objects that are saved in an
example are gone after it: see :func:`undone`.
"""

from __future__ import annotations

import datetime
import decimal
import json
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from django.db import connection, models, transaction
from django.db.models.fields.files import FieldFile
from django.utils.safestring import SafeString
from huey.registry import Message
from huey.utils import Error
from hypothesis import HealthCheck
from hypothesis import settings as configured
from hypothesis import strategies as st
from modelcluster.models import get_all_child_m2m_relations, get_all_child_relations
from wagtail.blocks import StreamValue
from wagtail.models import DraftStateMixin

from tests.oddities import models as odd
from tests.oddities.routers import OTHER
from wagtail_async_hooks.serialization import codecs
from wagtail_async_hooks.serialization.messages import SignedJSONSerializer

SERIALIZER: Final = SignedJSONSerializer()

ALIASES: Final = ("default", OTHER)
"""Where the models of :mod:`tests.oddities` have tables."""


def examples(count: int) -> Callable[..., Any]:
    """Try a property with so many values; what a fixture gives to the test serves for all."""
    unsuited = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return configured(max_examples=count, deadline=None, suppress_health_check=unsuited)


# To the worker, and back --------------------------------------------------------------------


def packed(value: Any) -> bytes:
    """Return the message of a hook that gets a value."""
    return SERIALIZER.serialize(Message("id", "name", args=("hook", value), kwargs={}))


def unpacked(data: bytes) -> Any:
    """Return what the worker's function gets."""
    return codecs.resolve(SERIALIZER.deserialize(data).args[1])


def carried(value: Any, kind: str) -> Any:
    """Return what becomes of a value on its way to the worker.

    :param kind: the codec that has to carry it.
    """
    assert codecs.encode(value)["$"] == kind
    handed_on = SERIALIZER.deserialize(packed(value))  # by a worker that did not come to it
    return unpacked(SERIALIZER.serialize(handed_on))


# What is the same ---------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, of the same types throughout, and in the same order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Error):
        return same(one.metadata, other.metadata)
    if isinstance(one, float):
        return repr(one) == repr(other)  # tells 0.0 from -0.0, and takes nan for equal
    if isinstance(one, decimal.Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, datetime.datetime | datetime.time):
        zones = one.tzinfo == other.tzinfo and type(one.tzinfo) is type(other.tzinfo)
        naive = one.replace(tzinfo=None) == other.replace(tzinfo=None)
        return zones and naive and one.fold == other.fold
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    if isinstance(one, dict):
        return same([*one.items()], [*other.items()])
    return bool(one == other)


def contents(instance: models.Model) -> dict[str, Any]:
    """Return all that an object is made of, as values that :func:`same` can compare."""
    return {
        "class": type(instance),
        "database": instance._state.db,
        **{f.attname: _plain(getattr(instance, f.attname)) for f in instance._meta.concrete_fields},
        **{name: [contents(child) for child in all_] for name, all_ in _children(instance)},
        **{
            field.name: [related.pk for related in getattr(instance, field.name).all()]
            for field in get_all_child_m2m_relations(type(instance))
        },
    }


def _children(instance: models.Model) -> Iterator[tuple[str, Any]]:
    for relation in get_all_child_relations(type(instance)):
        name = relation.get_accessor_name()
        yield name, getattr(instance, name).all()


def _plain(value: Any) -> Any:
    """Return what can be compared of a value that belongs to an object or a database."""
    if isinstance(value, memoryview):  # what PostgreSQL gives for bytes
        return bytes(value)
    if isinstance(value, FieldFile):
        return value.name
    if isinstance(value, StreamValue):  # PostgreSQL puts the keys of JSON in an order of its own
        return json.dumps(value.get_prep_value(), sort_keys=True)
    return value


@contextmanager
def undone() -> Iterator[None]:
    """Forget what an example does in the databases."""
    with ExitStack() as stack:
        for alias in ALIASES:
            stack.enter_context(transaction.atomic(using=alias))
            stack.callback(transaction.set_rollback, True, using=alias)
        yield


# Plain values -------------------------------------------------------------------------------

texts = st.text(st.characters(), max_size=20)  # surrogates are among the characters
offsets = st.timedeltas(
    datetime.timedelta(hours=-23, minutes=-59), datetime.timedelta(hours=23, minutes=59)
).map(datetime.timezone)
time_zones = st.one_of(st.timezones(), offsets)
zones = st.one_of(st.none(), time_zones)
numbers = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**200), max_value=2**200),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) + 1]),
)
decimals = st.decimals().filter(lambda number: not number.is_snan())  # such a one has no hash
times = st.one_of(st.times(), st.times(timezones=zones))
dates_and_times = st.one_of(
    st.datetimes(),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.builds(lambda moment, fold: moment.replace(fold=fold), st.datetimes(), st.integers(0, 1)),
)
hashables = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.floats(),
    texts,
    texts.map(SafeString),
    st.binary(max_size=20),
    decimals,
    st.uuids(),
    st.dates(),
    st.timedeltas(),
    times,
    dates_and_times,
)
keys = st.one_of(hashables, st.tuples(hashables, hashables), st.frozensets(hashables, max_size=3))
values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(st.sampled_from(["$", "v", "a"]), inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=10,
)


# Objects ------------------------------------------------------------------------------------

ODD_TEXTS: Final = ["", " ", " a b ", "'\"`; --", "%s {} \\", "ä€😀", "a/b?c#d", "\u2028", "True"]
"""Texts at which something might stumble."""


def _storable() -> st.SearchStrategy[str]:
    """Return what all databases of the tests take: no surrogates, and on PostgreSQL no NUL."""
    refused = "\0" if connection.vendor == "postgresql" else ""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters=refused)
    return st.one_of(st.sampled_from(ODD_TEXTS), st.text(characters, max_size=10))


stored_texts = st.deferred(_storable)
stored_uuids = st.uuids(version=4)  # MariaDB does not take any number for a UUID
stored_addresses = st.ip_addresses().map(models.GenericIPAddressField().to_python)
stored_dates = st.dates(datetime.date(1000, 1, 2), datetime.date(9999, 12, 30))
stored_moments = st.datetimes(
    datetime.datetime(1000, 1, 2),
    datetime.datetime(9999, 12, 30),
    timezones=st.sampled_from([datetime.UTC, zoneinfo.ZoneInfo("Asia/Tokyo")]),
)
stored_durations = st.timedeltas(datetime.timedelta(-100_000), datetime.timedelta(100_000))
stored_floats = st.floats(allow_nan=False, allow_infinity=False)
stored_prices = st.decimals(-(10**7), 10**7, places=4)
stored_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), stored_floats, stored_texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(stored_texts, inner, max_size=3)
    ),
    max_leaves=5,
)
stored_files = st.sampled_from(["", "oddities/a b.txt", "oddities/ä.txt"])
stored_bodies = st.lists(
    st.one_of(
        stored_texts.map(lambda text: ("heading", text)),
        stored_texts.map(lambda text: ("quote", {"by": text})),
    ),
    max_size=2,
)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return the values of a strategy, and ``None``."""
    return st.one_of(st.none(), strategy)


tickets = st.builds(odd.Ticket, text=stored_texts)
verses = st.builds(odd.Verse, text=stored_texts, sort_order=optional(st.integers(0, 9)))
songs = st.builds(
    odd.Song,
    title=stored_texts,
    length=optional(stored_durations),
    verses=st.lists(verses, max_size=2),
)
vehicles = {"name": stored_texts}
lorries = {**vehicles, "load": optional(stored_prices)}

OBJECTS: Final[dict[type[models.Model], st.SearchStrategy[Any]]] = {
    odd.Ticket: st.builds(odd.Ticket, id=stored_uuids, text=stored_texts),
    odd.Place: st.builds(odd.Place, code=stored_texts, is_hidden=st.booleans()),
    odd.Seat: st.builds(odd.Seat, row=stored_texts, number=st.integers(0, 9), text=stored_texts),
    odd.Vehicle: st.builds(odd.Vehicle, **vehicles),
    odd.FastVehicle: st.builds(odd.FastVehicle, **vehicles),
    odd.Lorry: st.builds(odd.Lorry, **lorries),
    odd.TowTruck: st.builds(odd.TowTruck, **lorries, reach=stored_floats),
    odd.Everything: st.builds(
        odd.Everything,
        big=optional(st.integers(-(2**62), 2**62 - 1)),
        binary=optional(st.binary(max_size=10)),
        boolean=optional(st.booleans()),
        colour=st.sampled_from(["", "r", "b"]),
        date=optional(stored_dates),
        moment=optional(stored_moments),
        time=optional(st.times()),
        duration=optional(stored_durations),
        price=optional(st.decimals(-(10**19), 10**19, places=10)),
        number=optional(stored_floats),
        document=stored_json,
        file=stored_files,
        address=optional(stored_addresses),
        identifier=optional(stored_uuids),
        text=stored_texts,
        amount=optional(st.builds(odd.Amount, st.integers(-(2**31), 2**31 - 1))),
        ticket=optional(tickets),
        body=stored_bodies,
    ),
    odd.Album: st.builds(
        odd.Album,
        id=stored_uuids,
        title=stored_texts,
        price=optional(stored_prices),
        length=optional(stored_durations),
        cover=optional(st.binary(max_size=10)),
        notes=stored_json,
        file=stored_files,
        songs=st.lists(songs, max_size=2),
        tickets=st.lists(tickets, max_size=2),
    ),
    odd.Leaflet: st.builds(
        odd.Leaflet,
        id=stored_uuids,
        title=stored_texts,
        body=stored_bodies,
        lines=st.lists(st.builds(odd.LeafletLine, text=stored_texts), max_size=2),
    ),
}
"""Objects of :mod:`tests.oddities` that every database takes; they are yet to be saved."""

PLACES: Final = [(model, "default") for model in OBJECTS] + [
    (model, OTHER) for model in OBJECTS if not issubclass(model, DraftStateMixin)
]
"""Models and where they can be: drafts refer to their revisions, so they are where those are."""

placed = st.sampled_from(PLACES).flatmap(
    lambda place: st.tuples(OBJECTS[place[0]], st.just(place[1]))
)
"""Objects of all models, each with its database."""


def saved(instance: Any, alias: str) -> Any:
    """Save an object with what belongs to it; return it as the database gives it."""
    place(instance, alias)
    instance.save(using=alias)
    return read(type(instance), alias, instance.pk)


def read(model: type[models.Model], alias: str, key: Any) -> Any:
    """Return an object as it is in a database."""
    return model._base_manager.using(alias).get(pk=key)


def place(instance: Any, alias: str) -> None:
    """Say where an object and its children are to be, and save what it points at."""
    instance._state.db = alias
    for _, children in _children(instance):
        for child in children:
            place(child, alias)
    pointed_at = [getattr(instance, "ticket", None)]
    for field in get_all_child_m2m_relations(type(instance)):
        pointed_at += getattr(instance, field.name).all()
    for ticket in filter(None, pointed_at):
        ticket.save(using=alias)


def change(instance: Any, other: Any) -> None:
    """Give an object the contents of another one, but do not save it."""
    place(other, instance._state.db)
    for field in instance._meta.concrete_fields:
        if not (field.primary_key or field.generated or field.has_db_default()):
            setattr(instance, field.attname, getattr(other, field.attname))
    for relation in (*get_all_child_relations(instance), *get_all_child_m2m_relations(instance)):
        name = relation.get_accessor_name() if relation.one_to_many else relation.name
        setattr(instance, name, getattr(other, name).all())
