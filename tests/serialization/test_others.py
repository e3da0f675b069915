"""Property tests of exceptions, lazy texts and classes: what arrives says or is the same."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from types import NoneType
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django.test.utils import isolate_apps
from django.urls import reverse_lazy
from django.utils import translation
from django.utils.functional import Promise, lazystr
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy, ngettext_lazy, pgettext_lazy
from hypothesis import example, given
from hypothesis import strategies as st

from tests.oddities.models import Colour, Place
from tests.serialization.strategies import carried, examples, texts
from wagtail_async_hooks.exceptions import CannotSerialize, RemoteError
from wagtail_async_hooks.serialization.codecs import encode, is_serializable

# Exceptions ---------------------------------------------------------------------------------


class Shop:
    """What an error may be defined in."""

    class SoldOut(Exception):
        """An error of a shop."""


class OutOf(Exception):
    """An error that is made of more than its text."""

    def __init__(self, what: str, left: int) -> None:
        super().__init__(f"{left} left of {what}")


OF_ONE_TEXT = [ValueError, OSError, Warning, SystemError, Shop.SoldOut, Place.DoesNotExist]


def raised(error: BaseException, cause: BaseException | None) -> BaseException:
    """Return an error as it is once it was raised."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@given(
    error=st.builds(lambda kind, text: kind(text), st.sampled_from(OF_ONE_TEXT), texts),
    note=texts,
    cause=texts,
)
@examples(50)
@example(error=Place.DoesNotExist("no such place"), note="", cause="")
def test_exception__made_of_one_text_arrives_as_one_of_its_class(
    error: Exception, note: str, cause: str
) -> None:
    error.add_note(note)

    arrived = carried(raised(error, KeyError(cause)), "exception")

    assert (type(arrived), arrived.args) == (type(error), error.args)
    told = "".join(arrived.__notes__)
    assert told.startswith(f"KeyError: {cause!r}\n\n")
    assert "in raised" in told
    assert note in told


@given(
    error=st.one_of(
        st.builds(OutOf, texts, st.integers()),
        st.builds(KeyError, texts),
        st.builds(SystemExit, texts),
        st.builds(KeyboardInterrupt, texts, texts),
        st.builds(ExceptionGroup, texts, st.just([ValueError()])),
        st.builds(type("Of a function", (Exception,), {}), texts),
    )
)
@examples(50)
def test_exception__of_another_kind_arrives_as_its_text(error: BaseException) -> None:
    arrived = carried(raised(error, None), "exception")

    assert type(arrived) is RemoteError
    kind = type(error)
    assert (arrived.type_path, arrived.message) == (
        f"{kind.__module__}.{kind.__qualname__}",
        str(error),
    )


@given(path=texts, message=texts, notes=st.lists(texts, max_size=2))
@examples(50)
def test_exception__that_arrived_as_text_can_be_passed_on(
    path: str, message: str, notes: list[str]
) -> None:
    error = RemoteError(path, message)
    for note in notes:
        error.add_note(note)

    arrived = carried(error, "exception")

    assert type(arrived) is RemoteError
    assert (arrived.type_path, arrived.message) == (path, message)
    assert getattr(arrived, "__notes__", []) == notes


def test_exception__that_was_passed_on_has_its_traceback_once() -> None:
    arrived = carried(raised(ValueError("no tea"), None), "exception")

    again = carried(arrived, "exception")

    assert again.__notes__ == arrived.__notes__
    assert "".join(again.__notes__).count("no tea") == 1


# Lazy texts ---------------------------------------------------------------------------------

LANGUAGES = ("en", "de", "fr")

languages = st.sampled_from(LANGUAGES)
months = st.one_of(st.sampled_from(["January", "August", "%s", "\n", ""]), texts)


def read(text: Any) -> list[str]:
    """Return how a text reads in some languages."""
    found = []
    for language in LANGUAGES:
        with translation.override(language):
            found.append(str(text))
    return found


@given(
    promise=st.one_of(
        st.builds(gettext_lazy, months), st.builds(pgettext_lazy, st.just("alt. month"), months)
    ),
    language=languages,
)
@examples(50)
def test_promise__of_a_translation_reads_the_same_in_every_language(
    promise: Any, language: str
) -> None:
    with translation.override(language):
        arrived = carried(promise, "promise")

    assert isinstance(arrived, Promise)
    assert read(arrived) == read(promise)


@given(
    promise=st.one_of(
        st.builds(format_lazy, st.just("{} 2026"), st.builds(gettext_lazy, months)),
        st.builds(ngettext_lazy, st.just("%d day"), st.just("%d days"), st.integers()),
        st.builds(lazystr, texts),
        st.just(reverse_lazy("wagtailadmin_home")),
        st.builds(gettext_lazy, months).map(mark_safe),
    ),
    language=languages,
)
@examples(50)
def test_promise__of_another_kind_arrives_as_it_reads(promise: Any, language: str) -> None:
    with translation.override(language):
        arrived = carried(promise, "promise")
        text = str(promise)

    assert (type(arrived), arrived) == (type(text), text)
    assert type(text) in (str, SafeString)


# Classes ------------------------------------------------------------------------------------


def subclasses(kind: type) -> Iterator[type]:
    """Return all classes below one."""
    for found in type.__subclasses__(kind):
        yield found
        yield from subclasses(found)


def loaded_classes() -> st.SearchStrategy[type]:
    """Return every class that is loaded in this process."""
    found = {id(kind): kind for kind in subclasses(object)}
    return st.sampled_from(sorted(found.values(), key=repr))


ONES_OF_OURS = [Colour, Place.Visible, Shop.SoldOut, NoneType, enum.EnumMeta, type, object]


@given(kind=st.one_of(st.sampled_from(ONES_OF_OURS), st.deferred(loaded_classes)))
@examples(300)
def test_class__is_the_same_or_is_refused(kind: type) -> None:
    name = "model_class" if isinstance(kind, models.base.ModelBase) else "class"
    if is_serializable(kind):
        assert carried(kind, name) is kind
    else:
        assert kind not in ONES_OF_OURS
        with pytest.raises(CannotSerialize, match=re.escape(kind.__qualname__)):
            encode(kind)


def loaded_models() -> st.SearchStrategy[type[models.Model]]:
    """Return every model that is loaded in this process."""
    return st.sampled_from(apps.get_models(include_auto_created=True))


@given(model=st.deferred(loaded_models))
@examples(100)
def test_model_class__is_the_same(model: type[models.Model]) -> None:
    assert carried(model, "model_class") is model


@isolate_apps("tests.oddities")
def test_model_class__that_no_app_has_is_refused() -> None:
    """Those that migrations see, for example: here is an older place."""
    older = type("Place", (models.Model,), {"__module__": "tests.oddities.models"})

    with pytest.raises(CannotSerialize) as refused:
        encode(older)

    assert str(refused.value) == (
        "the model Place cannot be carried to the worker, since it is not the one that the "
        "installed apps have as oddities.place; pass that one."
    )
