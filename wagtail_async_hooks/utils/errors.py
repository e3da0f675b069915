"""What is said of an error: its text, its class, its traceback, whatever the error itself does.

The methods of an exception are somebody else's code, and may raise, too: a task that failed has
failed with its error all the same.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Final

from wagtail_async_hooks.utils.catching import original, passes, trace_of
from wagtail_async_hooks.utils.text import MAX_TRACEBACK, shortened

MAX_CLASS: Final = 255
"""Characters of a class's path."""


def text_of(error: BaseException) -> str:
    """Return the text of an error; if it has none that can be read, say so."""
    return _read(str, original(error), "text")


def repr_of(error: BaseException) -> str:
    """Return the ``repr()`` of an error; if that cannot be read, say so."""
    return _read(repr, original(error), "repr()")


def class_of(error: BaseException) -> str:
    """Return the dotted path of an error's class."""
    kind = type(original(error))
    # The slots of type: a class may have attributes of that name which are anything.
    name = type.__dict__["__qualname__"].__get__(kind)
    module = type.__dict__["__module__"].__get__(kind)
    return shortened(f"{module}.{name}" if isinstance(module, str) else str(name), MAX_CLASS // 2)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, of a bounded length."""
    error = original(error)
    told = text_of(error)
    if len(told) <= MAX_TRACEBACK:
        try:
            return shortened("".join(traceback.format_exception(error)), MAX_TRACEBACK)
        except BaseException as another:
            if passes(another):
                raise
    where = "".join(traceback.format_tb(trace_of(error)))
    told = f"{class_of(error)}: {shortened(told, MAX_TRACEBACK // 2)}\n"
    return shortened(f"Traceback (most recent call last):\n{where}", MAX_TRACEBACK // 2) + told


def _read(read: Callable[[BaseException], str], error: BaseException, what: str) -> str:
    try:
        return str.__str__(read(error))  # no subclass, whose methods are somebody else's, too
    except BaseException as another:
        if passes(another):
            raise
        return f"{class_of(error)}, whose {what} cannot be read: it raises {class_of(another)}"


def report(logger: logging.Logger, error: BaseException, message: str, *arguments: object) -> None:
    """Log an error with its traceback, also one that the log's formatter cannot read.

    :param message: with a placeholder for each of the arguments.
    """
    try:
        logger.error(message, *arguments, exc_info=original(error))
    except BaseException as another:
        if passes(another):
            raise
        logger.error(f"{message} %s", *arguments, traceback_of(error))
