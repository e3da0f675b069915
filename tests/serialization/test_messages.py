"""Tests of messages: every value comes back as it was, and nothing but our own is read."""

import base64
import datetime
import decimal
import enum
import importlib
import io
import json
import math
import pkgutil
import re
import uuid
import zoneinfo
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.signing import Signer
from django.utils.safestring import SafeString, mark_safe
from huey.registry import Message
from huey.utils import SKIPPED, Error
from hypothesis import HealthCheck, example, given, is_hypothesis_test
from hypothesis import settings as configured
from hypothesis import strategies as st

from tests import serialization
from tests.serialization.strategies import (
    dates_and_times,
    examples,
    hashables,
    optional,
    same,
    texts,
    time_zones,
    times,
    values,
)
from tests.site.blog.models import BlogPage
from wagtail_async_hooks.exceptions import CannotSerialize, MessageRefused
from wagtail_async_hooks.serialization import builtins, codecs
from wagtail_async_hooks.serialization.arguments import BulkActionInfo
from wagtail_async_hooks.serialization.codecs import Codec, Reference
from wagtail_async_hooks.serialization.messages import SignedJSONSerializer

SERIALIZER = SignedJSONSerializer()
SALT = "wagtail_async_hooks.message"

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
HUGE = 10**5000 + 7
"""Longer than the 4300 digits that ``int()`` reads."""


def through(value: Any) -> Any:
    """Return what arrives of a value that is stored."""
    return SERIALIZER.deserialize(SERIALIZER.serialize(value))


def signed(document: Any) -> bytes:
    """Sign a document as the serializer does, whatever is in it."""
    return Signer(salt=SALT).sign(json.dumps(document)).encode()


# Values -------------------------------------------------------------------------------------


@given(values)
@configured(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@example(float("nan"))
@example([float("inf"), -float("inf"), -0.0, 5e-324])
@example("a NUL \x00, a lone surrogate \udc80, a line separator \u2028, a 😀")
@example({"$": "message", "v": {"$": "tuple"}})
@example({1: "one", "1": "text", (1,): "tuple", None: "none", b"1": "bytes"})
@example(datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN))
@example(datetime.datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN))  # there was no such time
@example(decimal.Decimal("-0E+7"))
@example(decimal.Decimal("sNaN123"))
@example([(), set(), frozenset(), {}, []])
def test_encode__comes_back_the_same(value: Any) -> None:
    assert same(codecs.decode(codecs.encode(value)), value)
    assert same(through(value), value)


messages = st.builds(
    Message,
    id=texts,
    name=texts,
    args=st.lists(values, max_size=2).map(tuple),
    kwargs=st.dictionaries(texts, values, max_size=2),
    eta=optional(dates_and_times),
    retries=optional(st.integers()),
    retry_delay=optional(st.floats(0, allow_infinity=False)),
    expires=optional(st.one_of(dates_and_times, st.timedeltas(), st.integers())),
    chord_config=optional(st.tuples(texts, st.integers(), st.integers())),
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.one_of(st.integers(min_value=2**63), st.integers(max_value=-(2**63))),
    "float": st.sampled_from([math.inf, -math.inf, math.nan]),
    "text": st.tuples(texts, st.characters(categories=["Cs"]), texts).map("".join),
    "safe": texts.map(SafeString),
    "bytes": st.binary(),
    "decimal": st.decimals(),
    "uuid": st.uuids(),
    "date": st.dates(),
    "time": times,
    "datetime": dates_and_times,
    "timedelta": st.timedeltas(),
    "time_zone": time_zones,
    "tuple": st.lists(values, max_size=3).map(tuple),
    "set": st.sets(hashables, max_size=3),
    "frozenset": st.frozensets(hashables, max_size=3),
    "dict": st.one_of(
        st.dictionaries(st.integers(), values, min_size=1, max_size=3),
        st.fixed_dictionaries({"$": values}, optional={"v": values}),
    ),
    "message": st.builds(
        lambda message, then, failed: message._replace(on_complete=then, on_error=failed),
        messages,
        optional(messages),
        optional(messages),
    ),
    "error": st.dictionaries(texts, values, max_size=3).map(Error),
    "skipped": st.just(SKIPPED),
}
"""Values that one codec each carries; those of the arguments have tests of their own."""


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@examples(30)
def test_codec__carries_and_brings_back(kind: str, data: Any) -> None:
    value = data.draw(KINDS[kind])

    encoded = codecs.encode(value)

    assert encoded["$"] == kind
    assert same(codecs.decode(encoded), value)
    assert same(through(value), value)


def test_codecs__each_has_a_property_test() -> None:
    """The tests of arguments are named after their codecs."""
    found = pkgutil.iter_modules(serialization.__path__, f"{serialization.__name__}.")
    modules = [importlib.import_module(each.name) for each in found if each.name != __name__]
    tests = [test for module in modules for test in vars(module).values()]
    names = [test.__name__ for test in tests if is_hypothesis_test(test)]
    tested = {name.removeprefix("test_").partition("__")[0] for name in names}

    assert {*KINDS, *tested} == set(codecs._by_kind)


@pytest.mark.parametrize("value", [HUGE, -HUGE, [HUGE], {HUGE: 1}], ids=["+", "-", "list", "key"])
def test_encode__whole_numbers_of_any_size(value: Any) -> None:
    assert same(through(value), value)


@pytest.mark.parametrize(
    "value",
    ["\ud83d\ude00", {"\ud83d\ude00": 1}, ["\ud83d", "\ude00"], SafeString("x\ud83d\ude00")],
    ids=["text", "key", "apart", "safe"],
)
def test_encode__a_pair_of_surrogates_stays_a_pair(value: Any) -> None:
    assert same(through(value), value)


def test_encode__safe_text_stays_safe() -> None:
    assert through([mark_safe("<b>")])[0].__html__() == "<b>"
    assert type(through(["<b>"])[0]) is str


def test_encode__fold_is_kept() -> None:
    first = datetime.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)

    offsets = [moment.utcoffset() for moment in through([first, second])]

    assert offsets == [datetime.timedelta(hours=2), datetime.timedelta(hours=1)]


def test_encode__a_time_zone_is_the_same_object() -> None:
    assert through(datetime.datetime(2026, 1, 1, tzinfo=BERLIN)).tzinfo is BERLIN


# What is refused ----------------------------------------------------------------------------


class Colour(enum.IntEnum):
    """A number to Python, and something else to its author."""

    RED = 1


class Bag(dict[str, int]):
    """A dict to Python, and something else to its author."""


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "type_path"),
    [
        (object(), "builtins.object"),
        (Colour.RED, f"{__name__}.Colour"),
        (Bag(), f"{__name__}.Bag"),
        (Point(1, 2), f"{__name__}.Point"),
        (OrderedDict(), "collections.OrderedDict"),
        (bytearray(), "builtins.bytearray"),
        (1j, "builtins.complex"),
        (iter([]), "builtins.list_iterator"),
        (len, "builtins.builtin_function_or_method"),
    ],
)
def test_encode__refuses_other_types_by_name(value: Any, type_path: str) -> None:
    with pytest.raises(CannotSerialize) as raised:
        codecs.encode(value)

    assert raised.value.path == ""
    assert str(raised.value) == (
        f"{type_path} cannot be carried to the worker; pass its key, or plain values made of it."
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, object()]}, "['a'][1]"),
        ([0, (1, 2, object())], "[1][2]"),
        ({7: {"$": object()}}, "[7]['$']"),
        ({"b": {object()}}, "['b'][0]"),
        ({("x", 1): frozenset([object()])}, "[('x', 1)][0]"),
    ],
)
def test_encode__says_where_the_refused_value_stands(value: Any, path: str) -> None:
    with pytest.raises(CannotSerialize) as raised:
        codecs.encode(value)

    assert raised.value.path == path
    assert str(raised.value).startswith(f"{path}: builtins.object cannot be carried")


class NoZone(datetime.tzinfo):
    """A time zone of some library."""

    def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(0)


def nameless_zone() -> zoneinfo.ZoneInfo:
    """Return a time zone that was read from a file, as some systems have for the local time."""
    file = b"TZif" + b"\0" * 16 + b"\0\0\0\0" * 4 + b"\0\0\0\1" + b"\0\0\0\4"
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(file + b"\0\0\0\0\0\0" + b"UTC\0"))


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        (NoZone(), "a time zone of the class NoZone cannot be carried; use zoneinfo."),
        (nameless_zone(), "a time zone without a name cannot be carried; use a named one."),
    ],
)
def test_encode__refuses_time_zones_that_have_no_name(zone: datetime.tzinfo, said: str) -> None:
    with pytest.raises(CannotSerialize) as raised:
        codecs.encode([datetime.datetime(2026, 1, 1, tzinfo=zone)])

    assert str(raised.value) == f"[0]: {said}"


def self_containing_list() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def self_containing_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["me"] = [value]
    return value


@pytest.mark.parametrize("value", [self_containing_list(), self_containing_dict()])
def test_serialize__refuses_what_contains_itself(value: Any) -> None:
    with pytest.raises(CannotSerialize, match="nested too deeply or contains itself"):
        SERIALIZER.serialize(value)


# Codecs of others ---------------------------------------------------------------------------


class Money:
    """A type that a site may bring along."""

    def __init__(self, cents: int) -> None:
        self.cents = cents


class Tip(Money):
    """A subclass of it."""


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget the codecs that a test registers."""
    by_kind, by_type = dict(codecs._by_kind), dict(codecs._by_type)
    yield
    for table, before in ((codecs._by_kind, by_kind), (codecs._by_type, by_type)):
        table.clear()
        table.update(before)
    codecs._codec_for.cache_clear()


@pytest.mark.usefixtures("registry")
def test_register__makes_a_type_known() -> None:
    codecs.register(Codec("money", Money, lambda money: money.cents, Money))

    arrived = through({"price": Money(250)})["price"]

    assert (type(arrived), arrived.cents) == (Money, 250)
    with pytest.raises(CannotSerialize, match="Tip"):
        codecs.encode(Tip(1))


@pytest.mark.usefixtures("registry")
def test_register__with_subclasses() -> None:
    codecs.register(Codec("money", Money, lambda money: money.cents, Money, subclasses=True))

    assert through([Tip(3)])[0].cents == 3


@pytest.mark.usefixtures("registry")
def test_register__the_nearest_base_class_counts() -> None:
    codecs.register(Codec("any", object, lambda value: "?", str, subclasses=True))
    codecs.register(Codec("money", Money, lambda money: money.cents, Money, subclasses=True))

    assert through([Tip(3)])[0].cents == 3


@pytest.mark.usefixtures("registry")
def test_register__counts_for_types_that_were_met_before() -> None:
    with pytest.raises(CannotSerialize, match="Tip"):
        codecs.encode(Tip(1))
    codecs.register(Codec("money", Money, lambda money: money.cents, Money, subclasses=True))
    assert codecs.encode(Tip(1)) == {"$": "money", "v": 1}

    codecs.register(Codec("tip", Tip, lambda tip: tip.cents, Tip))

    assert codecs.encode(Tip(1)) == {"$": "tip", "v": 1}


@pytest.mark.usefixtures("registry")
def test_register__replaces_a_codec_of_the_same_type() -> None:
    codecs.register(Codec("money", Money, lambda money: money.cents, Money))
    codecs.register(Codec("money2", Money, lambda money: [money.cents], lambda v: Money(*v)))

    assert codecs.encode(Money(5)) == {"$": "money2", "v": [5]}
    assert codecs.decode({"$": "money", "v": 5}).cents == 5


@pytest.mark.usefixtures("registry")
def test_register__many_carries_a_list_of_its_type() -> None:
    codecs.register(Codec("purse", list, list, list))
    codecs.register(
        Codec("money", Money, lambda money: money.cents, Money, subclasses=True, many="purses")
    )
    codecs.register(
        Codec("purses", tuple, lambda purse: sum(money.cents for money in purse), Money)
    )

    assert codecs.encode([Money(1), Tip(2)]) == {"$": "purses", "v": 3}
    assert codecs.encode([Money(1), 2]) == [{"$": "money", "v": 1}, 2]


@pytest.mark.usefixtures("registry")
def test_register__what_a_codec_makes_may_hold_other_types() -> None:
    codecs.register(
        Codec("money", Money, lambda money: (money.cents, {1}), lambda v: [Money(v[0]), v])
    )

    money, payload = through(Money(9))

    assert (money.cents, payload) == (9, (9, {1}))


# References ---------------------------------------------------------------------------------


@pytest.fixture
def lazy_money(registry: None) -> list[Any]:
    """Carry Money lazily; return what was decoded, in order."""
    decoded: list[Any] = []

    def decode(payload: Any) -> Money:
        decoded.append(payload)
        return Money(payload)

    codecs.register(Codec("money", Money, lambda money: money.cents, decode, lazy=True))
    return decoded


def message(*args: Any, **kwargs: Any) -> Message:
    """Return a message of Huey's with these arguments."""
    return Message("id", "name", args=args, kwargs=kwargs)


def test_deserialize__references_stay_lazy_in_messages(lazy_money: list[Any]) -> None:
    arrived = through(message("x", {"prices": (Money(1), {Money(2)})}, tip=[Money(3), None]))

    assert lazy_money == []
    assert type(arrived.kwargs["tip"][0]) is Reference
    assert (arrived.kwargs["tip"][0].kind, arrived.kwargs["tip"][0].payload) == ("money", 3)


def test_deserialize__references_stay_lazy_in_messages_within_messages(
    lazy_money: list[Any],
) -> None:
    inner = message("x", Money(1))

    arrived = through(Message("id", "name", args=(), kwargs={}, on_complete=inner))

    assert type(arrived.on_complete.args[1]) is Reference
    assert lazy_money == []


def test_deserialize__results_are_decoded_at_once(lazy_money: list[Any]) -> None:
    assert through([Money(1), "x"])[0].cents == 1


def test_deserialize__references_survive_being_serialized_again(lazy_money: list[Any]) -> None:
    once = SERIALIZER.serialize(message("x", Money(HUGE), {"$": (Money(2),)}, tip=Money(3)))

    again = SERIALIZER.serialize(SERIALIZER.deserialize(once))

    assert again == once
    assert lazy_money == []


def test_resolve__replaces_references_wherever_they_are(lazy_money: list[Any]) -> None:
    arrived = through(
        message("x", [Money(1)], (Money(2),), {"a": {Money(3)}}, frozenset([Money(4)]))
    )

    text, a_list, a_tuple, a_dict, a_frozenset = codecs.resolve(arrived.args)

    assert text == "x"
    assert [type(c) for c in (a_list, a_tuple, a_frozenset)] == [list, tuple, frozenset]
    found = [*a_list, *a_tuple, *a_dict["a"], *a_frozenset]
    assert [money.cents for money in found] == [1, 2, 3, 4]


def test_resolve__replaces_references_that_are_keys(lazy_money: list[Any]) -> None:
    arrived = through(message("x", {Money(1): "one"}))

    [(key, value)] = codecs.resolve(arrived.args)[1].items()

    assert (type(key), value) == (Money, "one")


@pytest.mark.usefixtures("registry")
def test_resolve__references_inside_of_references() -> None:
    decoded: list[Any] = []
    codecs.register(Codec("money", Money, lambda money: money.cents, decoded.append, lazy=True))
    codecs.register(
        Codec("bag", Bag, lambda bag: {"inner": Money(bag["cents"])}, decoded.append, lazy=True)
    )
    arrived = through(message("x", Bag(cents=5)))

    codecs.resolve(arrived.args)

    assert decoded == [5, {"inner": None}]  # the inner one is made first


def test_resolve__leaves_plain_values_alone() -> None:
    value = {"a": [1, ("x", None)], "b": {2}}

    assert same(codecs.resolve(value), value)


# Huey's own types ---------------------------------------------------------------------------


def test_encode_message__all_fields() -> None:
    moment = datetime.datetime(2026, 10, 25, 2, 30)
    full = Message(
        id="id",
        name="module.queuecmd",
        eta=moment,
        retries=2,
        retry_delay=1.5,
        priority=-3,
        args=(1, "x"),
        kwargs={"a": None},
        on_complete=message(),
        on_error=message(2),
        expires=datetime.timedelta(hours=1),
        expires_resolved=moment,
        timeout=30,
        chord_config=("cid", 3, 0, message(key=3)),
        retry_backoff=2,
    )

    assert through(full) == full


def test_encode_message__leaves_out_what_is_not_set() -> None:
    assert set(codecs.encode(message(1))["v"]) == {"id", "name", "args", "kwargs"}


def test_encode__errors_of_huey() -> None:
    metadata = {"error": "no tea", "traceback": "…", "task_id": "7", "retries": 0}

    arrived = through(Error(metadata))

    assert type(arrived) is Error
    assert arrived.metadata == metadata


def test_encode__the_mark_of_a_skipped_chord_member() -> None:
    assert through([1, SKIPPED])[1] is SKIPPED


# What is not read ---------------------------------------------------------------------------


def test_deserialize__refuses_an_altered_message() -> None:
    data = SERIALIZER.serialize({"user": 1})

    with pytest.raises(MessageRefused, match="was altered, or signed with another SECRET_KEY"):
        SERIALIZER.deserialize(data.replace(b'"user":1', b'"user":2'))


def test_deserialize__refuses_an_altered_signature() -> None:
    data = SERIALIZER.serialize({"user": 1})
    last = b"A" if data[-1:] != b"A" else b"B"

    with pytest.raises(MessageRefused):
        SERIALIZER.deserialize(data[:-2] + last + data[-1:])


@given(st.binary(max_size=200))
@configured(deadline=None)
def test_deserialize__refuses_anything_else(data: bytes) -> None:
    with pytest.raises(MessageRefused):
        SERIALIZER.deserialize(data)


@given(st.text())
@configured(deadline=None)
def test_serialize__signs_as_djangos_signer_does(text: str) -> None:
    data = SERIALIZER.serialize(text).decode()

    document, _, _ = data.rpartition(":")
    assert data == Signer(salt="wagtail_async_hooks.message").sign(document)


def test_deserialize__refuses_what_another_signer_of_the_site_signed() -> None:
    elsewhere = Signer(salt="django.contrib.sessions").sign(json.dumps({"v": 1, "d": 1}))

    with pytest.raises(MessageRefused):
        SERIALIZER.deserialize(elsewhere.encode())


def test_deserialize__refuses_the_message_of_another_secret_key(settings: Any) -> None:
    settings.SECRET_KEY = "former"
    data = SERIALIZER.serialize("x")
    settings.SECRET_KEY = "present"

    with pytest.raises(MessageRefused, match="SECRET_KEY_FALLBACKS"):
        SERIALIZER.deserialize(data)

    settings.SECRET_KEY_FALLBACKS = ["former"]
    assert SERIALIZER.deserialize(data) == "x"


@pytest.mark.parametrize("version", [0, -1, 2, 99, "1", 1.0, True, None])
def test_deserialize__refuses_other_versions(version: Any) -> None:
    with pytest.raises(MessageRefused, match=r"has version .*, this release reads up to 1") as no:
        SERIALIZER.deserialize(signed({"v": version, "d": "x"}))

    assert f"{version!r}," in str(no.value)


@pytest.mark.parametrize("document", [[], {}, {"v": 1}, {"d": 1}, 7, None, "text"])
def test_deserialize__refuses_documents_that_are_not_ours(document: Any) -> None:
    with pytest.raises(MessageRefused, match="is not one of this package"):
        SERIALIZER.deserialize(signed(document))


def test_deserialize__refuses_what_is_signed_and_no_json() -> None:
    with pytest.raises(MessageRefused, match="is not one of this package"):
        SERIALIZER.deserialize(Signer(salt=SALT).sign("{]").encode())


@pytest.mark.parametrize("kind", ["os.system", "pickle", "", None, 7])
def test_deserialize__refuses_unknown_codecs(kind: Any) -> None:
    with pytest.raises(MessageRefused, match=f'no codec "{kind}" is registered'):
        SERIALIZER.deserialize(signed({"v": 1, "d": {"$": kind, "v": "rm"}}))


@pytest.mark.parametrize(
    "fields",
    [{"id": "7", "args": [], "colour": 1}, [], 7, "text"],
    ids=["one too many", "a list", "a number", "a text"],
)
def test_deserialize__refuses_messages_with_other_fields(fields: Any) -> None:
    with pytest.raises(MessageRefused, match="lacks a field or has one too many"):
        SERIALIZER.deserialize(signed({"v": 1, "d": {"$": "message", "v": fields}}))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("args", None, "NoneType"),
        ("args", "text", "str"),
        ("kwargs", [1], "list"),
        ("name", None, "NoneType"),
        ("name", ["x"], "list"),
        ("eta", "tomorrow", "str"),
        ("retries", 1.5, "float"),
        ("retry_delay", "1", "str"),
        ("retry_backoff", [2], "list"),
        ("priority", "high", "str"),
        ("timeout", "1", "str"),
        ("expires", "soon", "str"),
        ("expires_resolved", 7, "int"),
        ("on_complete", 7, "int"),
        ("on_error", {"name": "x"}, "dict"),
        ("chord_config", 7, "int"),
    ],
)
def test_deserialize__refuses_messages_of_another_shape(name: str, value: Any, told: str) -> None:
    fields = {"id": "7", "name": "x", "args": [], "kwargs": {}, name: value}

    with pytest.raises(MessageRefused, match=f'^the message\'s "{name}" cannot be a {told}.$'):
        SERIALIZER.deserialize(signed({"v": 1, "d": {"$": "message", "v": fields}}))


def test_deserialize__knows_the_shape_of_all_fields_of_huey() -> None:
    assert {"id", *builtins._SHAPE} == set(Message._fields)


def test_deserialize__takes_what_database_drivers_return() -> None:
    assert SERIALIZER.deserialize(memoryview(SERIALIZER.serialize("ä"))) == "ä"


# The format ---------------------------------------------------------------------------------


@given(values)
@configured(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
def test_serialize__is_ascii_without_control_characters(value: Any) -> None:
    data = SERIALIZER.serialize(value)

    assert type(data) is bytes
    assert min(data) >= 32
    assert max(data) < 127


def test_serialize__is_json_that_others_can_read() -> None:
    text = Signer(salt=SALT).unsign(SERIALIZER.serialize([math.inf, b"\xff", {1}]).decode())

    assert json.loads(text) == {
        "v": 1,
        "d": [
            {"$": "float", "v": "inf"},
            {"$": "bytes", "v": base64.b64encode(b"\xff").decode()},
            {"$": "set", "v": [1]},
        ],
    }


# Messages of version 1 must stay readable for ever: never change a sample, add another one.

SAMPLE = (
    b'{"v":1,"d":{"$":"message","v":{"id":"7a1e","name":"blog.queuecmd_x","args":["caf\\u00'
    b'e9 \\u0000 \\udc80",null,true,-7,1.5,[1,"a"],{"a":{"b":null}},{"$":"int","v":"0x400000'
    b'000000000000"},{"$":"float","v":"nan"},{"$":"tuple","v":[1,{"$":"set","v":[2]}]},{"$'
    b'":"frozenset","v":["x"]},{"$":"dict","v":[[1,"one"],["$","dollar"]]},{"$":"safe","v"'
    b':"<b>"},{"$":"bytes","v":"AP8="},{"$":"decimal","v":"1.50"},{"$":"uuid","v":"0000000'
    b'0000040008000000000000001"},{"$":"date","v":"2026-11-24"},{"$":"time","v":["02:30:00'
    b'.000001",0,null]},{"$":"datetime","v":["2026-10-25T02:30:00",1,"Europe/Berlin"]},{"$'
    b'":"datetime","v":["2026-10-25T02:30:00",0,[0,5400,0]]},{"$":"timedelta","v":[-1,1,2]'
    b'},{"$":"error","v":{"error":"no","retries":0}},{"$":"skipped","v":null},{"$":"model"'
    b',"v":{"model":"blog.blogpage","pk":4}},{"$":"model","v":{"model":"blog.advert","pk":'
    b'{"$":"uuid","v":"00000000000040008000000000000001"},"db":"other"}},{"$":"models","v"'
    b':[["blog.advert","default",[3,1,2]]]},{"$":"sequence","v":[["blog.advert","default",'
    b'[1]]]},{"$":"snapshot","v":{"model":"blog.advert","data":{"pk":9,"id":9,"text":"Tea"'
    b',"url":""}}},{"$":"request","v":{"user":1,"method":"POST","path":"/admin/","path_inf'
    b'o":"/admin/","query":"a=1","scheme":"https","meta":{"REMOTE_ADDR":"127.0.0.1","HTTP_'
    b'HOST":"example.org","QUERY_STRING":"a=1"},"language":"de","time_zone":"Europe/Berlin'
    b'"}},{"$":"bulk_action","v":["publish","wagtailcore.page","wagtail.x.Publish",{"n":1}'
    b']},{"$":"exception","v":["builtins.ValueError","no","Traceback"]},{"$":"promise","v"'
    b':["gettext","January"]},{"$":"promise","v":["","as it read"]}],"kwargs":{},"eta":{"$'
    b'":"datetime","v":["2026-11-24T01:02:03",0,null]},"retries":2,"retry_delay":10,"prior'
    b'ity":50,"timeout":1.5,"on_complete":{"$":"message","v":{"id":"7a1e","name":"blog.nex'
    b't","args":[],"kwargs":{}}},"chord_config":{"$":"tuple","v":["cid",2,0,{"$":"message"'
    b',"v":{"id":"7a1e","name":"blog.callback","args":[],"kwargs":{}}}]}}}}:ksDaZI8PQ-EC2A'
    b"_zDdN35I7YlddHXIq1iGla8Wg6gDI"
)

SAMPLE_OF_TEXT = (
    b'{"v":1,"d":[{"$":"text","v":"7aC97biAIO2ygA=="},{"$":"dict","v":[[{"$":"text","v":"7aC'
    b'97biAIO2ygA=="},1]]}]}:G4bWEBlDPeEyBZyg2Rq8fUeGX6SBO7RVhTcAIY9PY6U'
)

SAMPLE_OF_OTHERS = (
    b'{"v":1,"d":{"$":"message","v":{"id":"1","name":"x","args":{"$":"tuple","v":[{"$":"ti'
    b'me_zone","v":"Europe/Berlin"},{"$":"time_zone","v":[0,5400,0]},{"$":"class","v":"dat'
    b'etime:date"},{"$":"model_class","v":"blog.blogpage"},{"$":"draft","v":{"model":"blog'
    b'.author","pk":4,"revision":7}}]},"kwargs":{}}}}:2PtvyeDMJQZ45alCbkTHXuQ9oF17xdg7OWdb'
    b"Ax4w64Q"
)

SAMPLE_OF_EMAILS = (
    b'{"v":1,"d":{"$":"message","v":{"id":"1","name":"x","args":{"$":"tuple","v":[{"$":"ema'
    b'il","v":{"to":["b@example.com"],"cc":[],"bcc":[],"reply_to":[],"from_email":"a@exampl'
    b'e.com","subject":"Tides","body":"High","attachments":[],"extra_headers":{"Message-ID"'
    b':"<1@example.com>"}}},{"$":"email_alternatives","v":{"to":["b@example.com"],"cc":[],"'
    b'bcc":[],"reply_to":[],"from_email":"a@example.com","subject":"Tides","body":"High","a'
    b'ttachments":[{"$":"email_attachment","v":["a.txt","a","text/plain"]},{"$":"email_part'
    b'","v":["mime",{"$":"bytes","v":"Q29udGVudC1UeXBlOiBpbWFnZS9wbmcKTUlNRS1WZXJzaW9uOiAxL'
    b'jAKQ29udGVudC1UcmFuc2Zlci1FbmNvZGluZzogYmFzZTY0CgppVkJPUnc9PQo="}]}],"extra_headers":'
    b'{},"alternatives":[{"$":"email_alternative","v":["<p>High</p>","text/html"]}]}}]},"kw'
    b'args":{}}}}:rOPP41LxkT2Iz_wpOqpOgzXFgvNSeOyoH9IwHL1T4C8'
)

SAMPLE_OF_DELETED = (
    b'{"v":1,"d":[{"$":"deleted","v":{"runs":[["blog.author","default",[4,5]]],"copies":[{'
    b'"model":"blog.author","data":{"id":4,"latest_revision_id":null,"live":true,"has_unpu'
    b'blished_changes":false,"first_published_at":null,"last_published_at":null,"live_revi'
    b'sion_id":null,"go_live_at":null,"expire_at":null,"expired":false,"name":"Ada","role"'
    b':"","biography":""}}]}},{"$":"deleted_objects","v":{"runs":[["blog.author","default"'
    b',[4,5]]],"copies":[]}}]}:FxZwSoDH-9qjlma7tv1LSgw3FH-QFu_Q4Yn6YxdMHRE'
)


@pytest.fixture
def sample(settings: Any) -> Message:
    """Return the sample as this release reads it."""
    settings.SECRET_KEY = "the key of the sample"
    arrived = SERIALIZER.deserialize(SAMPLE)
    assert type(arrived) is Message
    return arrived


def test_deserialize__a_message_of_version_1(sample: Message) -> None:
    later = Message("7a1e", "blog.callback", args=(), kwargs={})

    assert sample._replace(args=()) == Message(
        id="7a1e",
        name="blog.queuecmd_x",
        eta=datetime.datetime(2026, 11, 24, 1, 2, 3),
        retries=2,
        retry_delay=10,
        priority=50,
        timeout=1.5,
        args=(),
        kwargs={},
        on_complete=later._replace(name="blog.next"),
        chord_config=("cid", 2, 0, later),
    )


def test_deserialize__the_plain_values_of_version_1(sample: Message) -> None:
    expected = [
        "caf\u00e9 \x00 \udc80",
        None,
        True,
        -7,
        1.5,
        [1, "a"],
        {"a": {"b": None}},
        2**70,
        math.nan,
        (1, {2}),
        frozenset(["x"]),
        {1: "one", "$": "dollar"},
        SafeString("<b>"),
        b"\x00\xff",
        decimal.Decimal("1.50"),
        uuid.UUID("00000000-0000-4000-8000-000000000001"),
        datetime.date(2026, 11, 24),
        datetime.time(2, 30, 0, 1),
        datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        datetime.datetime(
            2026, 10, 25, 2, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=1.5))
        ),
        datetime.timedelta(-1, 1, 2),
    ]

    assert same([*sample.args[: len(expected)]], expected)
    assert sample.args[len(expected)].metadata == {"error": "no", "retries": 0}
    assert sample.args[len(expected) + 1] is SKIPPED


def test_deserialize__the_references_of_version_1(sample: Message) -> None:
    key = uuid.UUID("00000000-0000-4000-8000-000000000001")
    request = {
        "user": 1,
        "method": "POST",
        "path": "/admin/",
        "path_info": "/admin/",
        "query": "a=1",
        "scheme": "https",
        "meta": {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "example.org", "QUERY_STRING": "a=1"},
        "language": "de",
        "time_zone": "Europe/Berlin",
    }

    assert [(ref.kind, ref.payload) for ref in sample.args[23:29]] == [
        ("model", {"model": "blog.blogpage", "pk": 4}),
        ("model", {"model": "blog.advert", "pk": key, "db": "other"}),
        ("models", [["blog.advert", "default", [3, 1, 2]]]),
        ("sequence", [["blog.advert", "default", [1]]]),
        (
            "snapshot",
            {"model": "blog.advert", "data": {"pk": 9, "id": 9, "text": "Tea", "url": ""}},
        ),
        ("request", request),
    ]


def test_deserialize__the_texts_of_version_1(settings: Any) -> None:
    settings.SECRET_KEY = "the key of the sample"
    text = "\ud83d\ude00 \udc80"

    assert SERIALIZER.deserialize(SAMPLE_OF_TEXT) == [text, {text: 1}]


def test_deserialize__other_values_of_version_1(settings: Any) -> None:
    settings.SECRET_KEY = "the key of the sample"
    arrived = SERIALIZER.deserialize(SAMPLE_OF_OTHERS).args

    assert arrived[:2] == (BERLIN, datetime.timezone(datetime.timedelta(hours=1.5)))
    assert codecs.resolve([*arrived[2:4]]) == [datetime.date, BlogPage]
    assert (arrived[4].kind, arrived[4].payload) == (
        "draft",
        {"model": "blog.author", "pk": 4, "revision": 7},
    )


def test_resolve__the_emails_of_version_1(settings: Any) -> None:
    settings.SECRET_KEY = "the key of the sample"
    plain, rich = codecs.resolve(SERIALIZER.deserialize(SAMPLE_OF_EMAILS).args)

    assert (type(plain), type(rich)) == (EmailMessage, EmailMultiAlternatives)
    assert plain.extra_headers == {"Message-ID": "<1@example.com>"}
    assert rich.alternatives[0].mimetype == "text/html"
    assert rich.attachments[0].filename == "a.txt"
    assert rich.attachments[1].get_payload(decode=True) == b"\x89PNG"
    for email in (plain, rich):
        assert email.message()["Subject"] == "Tides"


def test_resolve__the_deleted_objects_of_version_1(settings: Any) -> None:
    settings.SECRET_KEY = "the key of the sample"
    copied, others = codecs.resolve(SERIALIZER.deserialize(SAMPLE_OF_DELETED))

    assert [(author.pk, author.name) for author in copied] == [(4, "Ada")]
    assert copied.gone == [("blog.author", 5)]
    assert list(others) == []
    assert others.keys == copied.keys == [4, 5]


def test_resolve__the_references_of_version_1(sample: Message, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["example.org"]
    models, sequence, snapshot, request, action, error, month, read = codecs.resolve(
        sample.args[25:]
    )

    assert models.runs == [("blog.advert", "default", [3, 1, 2])]
    assert sequence.runs == [("blog.advert", "default", [1])]
    assert (snapshot.pk, snapshot.text) == (9, "Tea")
    assert request.build_absolute_uri() == "https://example.org/admin/?a=1"
    assert action == BulkActionInfo("publish", "wagtailcore.page", "wagtail.x.Publish", {"n": 1})
    assert (type(error), str(error)) == (ValueError, "no")
    assert (str(month), read) == ("January", "as it read")


def test_sample__has_every_codec() -> None:
    samples = SAMPLE + SAMPLE_OF_TEXT + SAMPLE_OF_OTHERS + SAMPLE_OF_EMAILS + SAMPLE_OF_DELETED
    kinds = set(re.findall(rb'\{"\$":"([a-z_]+)","v":', samples))

    assert {kind.decode() for kind in kinds} == set(codecs._by_kind)
