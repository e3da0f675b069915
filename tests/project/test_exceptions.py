"""Tests of the exceptions: what they are to others, and what they say."""

import inspect

import pytest
from django.core.exceptions import ImproperlyConfigured

from wagtail_async_hooks import exceptions
from wagtail_async_hooks.exceptions import (
    BackgroundError,
    CannotSerialize,
    ConfigurationError,
    MessageRefused,
    NotCarried,
    RemoteError,
    TargetGone,
    UnknownTask,
)

OWN = [
    found
    for _, found in inspect.getmembers(exceptions, inspect.isclass)
    if found.__module__ == exceptions.__name__
]


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
def test_background_error__is_the_base_of_all(kind: type) -> None:
    assert issubclass(kind, BackgroundError)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigurationError, ImproperlyConfigured),
        (NotCarried, AttributeError),
        (CannotSerialize, TypeError),
        (MessageRefused, ValueError),
        (UnknownTask, LookupError),
        (TargetGone, LookupError),
    ],
)
def test_exceptions__can_be_caught_as_what_everybody_knows(kind: type, builtin: type) -> None:
    assert issubclass(kind, builtin)


def test_cannot_serialize__without_a_path() -> None:
    error = CannotSerialize("a lock cannot be carried.")

    assert (error.path, str(error)) == ("", "a lock cannot be carried.")


def test_cannot_serialize__with_a_path() -> None:
    assert str(CannotSerialize("no.", '["images"][3]')) == '["images"][3]: no.'


def test_within__puts_the_outer_step_first() -> None:
    error = CannotSerialize("no.")

    assert error.within("[3]").within("['images']") is error
    assert (error.path, str(error)) == ("['images'][3]", "['images'][3]: no.")


def test_remote_error__tells_type_and_message() -> None:
    error = RemoteError("shop.errors.SoldOut", "no tea left")

    assert (error.type_path, error.message) == ("shop.errors.SoldOut", "no tea left")
    assert str(error) == "shop.errors.SoldOut: no tea left"
