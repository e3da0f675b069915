"""The cleaned data of a confirmation form, serialized."""

from __future__ import annotations

from typing import Any

from wagtail_async_hooks.exceptions import CannotSerialize, NotCarried
from wagtail_async_hooks.serialization import codecs
from wagtail_async_hooks.serialization.bulk_actions import is_secret_field


class CarriedForm:
    """The form of a bulk action, as far as a worker has it."""

    def __init__(self, cleaned_data: dict[str, Any]) -> None:
        self.cleaned_data = cleaned_data

    def __getattr__(self, name: str) -> Any:
        raise NotCarried(
            f"cleaned_form.{name} is not carried to the worker: there is cleaned_data alone."
        )


def encode_form(form: Any) -> Any:
    """Return what is carried of a form, as plain values.

    :raises CannotSerialize: if there is something that cannot be carried, or must not be kept.
    """
    for name in form.cleaned_data:
        if is_secret_field(form, name):
            raise CannotSerialize(f'the field "{name}" is taken for a secret, which is not kept.')
    return codecs.encode(dict(form.cleaned_data))


def decode_form(carried: Any) -> CarriedForm:
    """Return the form, with its objects as they are in the database now.

    :raises TargetGone: if one of them was deleted.
    """
    return CarriedForm(codecs.decode(carried))
