"""Lazy texts in messages: what is to be translated, so that the worker's language counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.utils import translation

from wagtail_async_hooks.exceptions import CannotSerialize

_TRANSLATORS: Final[dict[str, Callable[..., Any]]] = {
    "gettext": translation.gettext_lazy,
    "pgettext": translation.pgettext_lazy,
}


def encode_promise(promise: Any) -> list[Any]:
    """Return what is to be translated, not the translation; of other lazy texts, the text now.

    :raises CannotSerialize: if how it reads depends on a number that is still to come.
    """
    remake, (func, args, kwargs, *_rest) = promise.__reduce__()
    if remake.__name__ == "_lazy_number_unpickle":
        raise CannotSerialize(
            "a lazy plural without its number cannot be carried to the worker; pass the number to "
            "ngettext_lazy(), or the text."
        )
    name = getattr(func, "__name__", "")
    if name in _TRANSLATORS and func is getattr(translation, name) and not kwargs:
        return [name, *args]
    return ["", str(promise)]


def decode_promise(payload: list[Any]) -> Any:
    """Return the lazy text, or the text."""
    name, *args = payload
    return _TRANSLATORS[name](*args) if name else args[0]
