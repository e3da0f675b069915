"""Exceptions in messages: class, text and traceback, and an exception that says the same."""

from __future__ import annotations

from wagtail_async_hooks.exceptions import RemoteError
from wagtail_async_hooks.serialization.classes import find_class
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
    found = next(filter(None, map(find_class, paths)), None)
    if found is None or not issubclass(found, Exception):
        return None
    try:
        error = found(message)
        return error if str(error) == message else None
    except Exception:
        return None
