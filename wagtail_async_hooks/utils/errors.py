"""What is said of an error: its text, its class, its traceback, whatever the error itself does.

The methods of an exception are somebody else's code, and may raise, too: a task that failed has
failed with its error all the same.
"""

from __future__ import annotations

import logging
import os
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from wagtail_async_hooks.utils.catching import original, passes, trace_of
from wagtail_async_hooks.utils.text import MAX_TRACEBACK, cut, shortened

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


def place_of(error: BaseException) -> str:
    """Return the dotted path of the innermost function of the site's own code in a traceback.

    Where there is none, of the innermost one of all. Not the number of its line, which another
    release changes. Blank if the error was raised nowhere.
    """
    frames = [frame for frame, _ in traceback.walk_tb(trace_of(original(error)))]
    if not frames:
        return ""
    own = (frame for frame in reversed(frames) if not _is_installed(frame))
    frame = next(own, frames[-1])
    module = frame.f_globals.get("__name__")
    name = frame.f_code.co_qualname
    # A subclass of str would format itself, and may raise.
    return cut(f"{str.__str__(module)}.{name}" if isinstance(module, str) else name, MAX_CLASS)


_INSTALLED: Final = tuple(
    folder + os.sep
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[1]),  # ours, not resolved: as its code objects have it
    }
)
_FOLDERS: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def _is_installed(frame: FrameType) -> bool:
    """Return whether a frame is of Python's, of a package that is installed, or of this one."""
    file = frame.f_code.co_filename
    if file.startswith("<frozen "):
        return True
    if file.startswith("<"):  # of code that was made, such as a dataclass's: ask who made it
        made_by = frame.f_globals.get("__file__")
        file = made_by if isinstance(made_by, str) else file
    return is_installed(file)


def is_installed(file: str) -> bool:
    """Return whether a file is of Python's, of a package that is installed, or of this one."""
    return file.startswith((*_INSTALLED, "<frozen ")) or any(name in file for name in _FOLDERS)


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
