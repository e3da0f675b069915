"""Exceptions, lazy texts and classes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import NoneType
from typing import Any, Final, cast

from django.apps import apps
from django.db import models
from django.utils import translation

from wagtail_async_hooks.exceptions import CannotSerialize, RemoteError
from wagtail_async_hooks.utils.catching import original, trace_of
from wagtail_async_hooks.utils.errors import class_of, text_of, traceback_of


def encode_exception(error: BaseException) -> list[str]:
    """Return the path of an exception's class, its text, and its traceback.

    One that was not raised here may have arrived, with its traceback for a note.
    """
    notes = getattr(error, "__notes__", [])
    if isinstance(error, RemoteError):
        return [error.type_path, error.message, *notes]
    error = original(error)
    path, text = class_of(error), text_of(error)
    return [path, text, *notes] if trace_of(error) is None else [path, text, traceback_of(error)]


def decode_exception(payload: list[str]) -> BaseException:
    """Return an exception that says the same."""
    path, message, *notes = payload
    error = _same_exception(path, message) or RemoteError(path, message)
    for note in notes:
        error.add_note(note)
    return error


def _same_exception(path: str, message: str) -> BaseException | None:
    """Return an exception of the same class, if that is loaded here and made of one text."""
    steps = path.split(".")
    # The class may be in another one, such as a model.
    paths = (f"{'.'.join(steps[:n])}:{'.'.join(steps[n:])}" for n in range(len(steps) - 1, 0, -1))
    found = next(filter(None, map(_find_class, paths)), None)
    if found is None or not issubclass(found, Exception):
        return None
    try:
        error = found(message)
        return error if str(error) == message else None
    except Exception:
        return None


_TRANSLATORS: Final[dict[str, Callable[..., Any]]] = {
    "gettext": translation.gettext_lazy,
    "pgettext": translation.pgettext_lazy,
}


def encode_promise(promise: Any) -> list[Any]:
    """Carry what is to be translated, not the translation; other lazy texts as they read now.

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


def encode_class(kind: type) -> str:
    """Carry a class, such as the sender of a signal, by its path.

    :raises CannotSerialize: if it is defined inside a function.
    """
    path = f"{kind.__module__}:{kind.__qualname__}"
    if _find_class(path) is not kind:
        raise CannotSerialize(f"the class {path} cannot be found again by its path; name it.")
    return path


def decode_class(path: str) -> type:
    """Return the class of a path, whose module has to be loaded: nothing is imported."""
    found = _find_class(path)
    if found is None:
        raise LookupError(f"the class {path} is not loaded in this process")
    return found


def _find_class(path: str) -> type | None:
    if path == "builtins:NoneType":  # the sender of user_logged_out, where nobody was logged in
        return NoneType
    module, _, name = path.partition(":")
    return _loaded(module, name.split("."))


def _loaded(module: str, names: list[str]) -> type | None:
    """Return a class that is loaded; what a module would make or import when asked is not."""
    found: Any = sys.modules.get(module)
    for name in names:
        # Not getattr(): a module may import what it is asked for.
        found = getattr(found, "__dict__", {}).get(name)
        if not isinstance(found, type):
            return None
    return cast(type, found)


def encode_model_class(model: type[models.Model]) -> str:
    """Carry a model itself, such as the sender of a signal, by its label.

    :raises CannotSerialize: if it is abstract, or if no installed app has it.
    """
    label = model._meta.label_lower
    if model._meta.abstract:
        raise CannotSerialize(
            f"the abstract model {model.__qualname__} cannot be carried to the worker; pass one "
            "that has a table."
        )
    if apps.all_models[model._meta.app_label].get(model._meta.model_name or "") is not model:
        raise CannotSerialize(
            f"the model {model.__qualname__} cannot be carried to the worker, since it is not the "
            f"one that the installed apps have as {label}; pass that one."
        )
    return label


def decode_model_class(payload: str) -> type[models.Model]:
    """Return the model of a label."""
    return apps.get_model(payload)
