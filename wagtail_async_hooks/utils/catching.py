"""Which errors of other people's functions are theirs, and which stop the process or the function.

A function may raise what is no ``Exception``: ``asyncio.CancelledError``, ``GeneratorExit``,
``sys.exit()``, a ``BaseException`` of its own. That is an error of the function like any other.
What a signal handler raises in the main thread, such as Ctrl-C, is not: it stops the process.
"""

from __future__ import annotations

import dis
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

from wagtail_async_hooks.exceptions import BaseExceptionRaised

_TRACE: Final = BaseException.__dict__["__traceback__"]
_RAISE: Final = dis.opmap["RAISE_VARARGS"]


class Interrupted(BaseException):
    """Raised in the middle of a function whose time is over.

    No ``Exception``: a loop that goes on whatever goes wrong should end all the same.
    """


def passes(error: BaseException) -> bool:
    """Return whether what is called beside a function must not catch an error.

    It may stop the function or the process. A ``KeyboardInterrupt`` in the main thread always
    passes here, whoever raised it.
    """
    if is_exception(error):
        return False
    kind = type(error)
    if issubclass(kind, Interrupted) or (issubclass(kind, KeyboardInterrupt) and _is_main_thread()):
        return True
    return stops(error)


def stops(error: BaseException) -> bool:
    """Return whether an error stops the process: Ctrl-C, or what a signal handler raised.

    Python calls signal handlers in the main thread. A ``KeyboardInterrupt`` in any other thread,
    or one that the code itself has raised, is an error of that code.
    """
    if is_exception(error) or not _is_main_thread():
        return False
    frames = list(_frames(error))
    handlers = _signal_handlers()
    if any(frame.f_code in handlers for frame, _ in frames):
        return True
    return issubclass(type(error), KeyboardInterrupt) and not _is_raised_by_code(frames)


def is_of_exit(error: BaseException) -> bool:
    """Return whether an error says that the interpreter ends, and starts nothing more.

    By then the main thread has ended, and others may go on for a while. Python has no class for
    it: a thread, a process or a ``Future`` that is begun raises a ``RuntimeError`` that says so.
    """
    if threading.main_thread().is_alive() or not issubclass(type(error), RuntimeError):
        return False
    told = str(error)
    return "interpreter shutdown" in told or "after shutdown" in told


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def is_exception(error: BaseException) -> bool:
    """Return whether an error is an ``Exception``, whatever its class says of itself."""
    return issubclass(type(error), Exception)


def as_exception(error: BaseException) -> Exception:
    """Return an error as an ``Exception``, which Huey, Django and loggers catch."""
    if is_exception(error):
        return error  # type: ignore[return-value]  # isinstance() would ask the object
    wrapper = BaseExceptionRaised(error)
    wrapper.__cause__ = error
    return wrapper


def original(error: BaseException) -> BaseException:
    """Return what a function has raised: the opposite of :func:`as_exception`."""
    return error.error if type(error) is BaseExceptionRaised else error


def trace_of(error: BaseException) -> TracebackType | None:
    """Return where an error was raised, without asking its class, which may answer otherwise."""
    trace: TracebackType | None = _TRACE.__get__(error)
    return trace


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """Return the frames that an error passed, with the last instruction of each."""
    step = trace_of(error)
    while step is not None:
        yield step.tb_frame, step.tb_lasti
        step = step.tb_next


_further_handlers: Final[set[CodeType]] = set()


def stops_from(function: Callable[..., Any]) -> None:
    """Let what a function raises stop the process: a signal handler that is set no more by then."""
    _further_handlers.add(function.__code__)


def _signal_handlers() -> set[CodeType]:
    """Return the code of the signal handlers of this process that are written in Python."""
    handlers = set(_further_handlers)
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        handler = getattr(handler, "func", handler)  # of a partial
        code = getattr(handler, "__code__", None)  # a method has its function's
        code = code or getattr(type(handler).__call__, "__code__", None)
        if isinstance(code, CodeType):
            handlers.add(code)
    return handlers


def _is_raised_by_code(frames: list[tuple[FrameType, int]]) -> bool:
    """Return whether a ``raise`` statement is where an error began.

    That in ``asyncio.run()`` answers to a signal.
    """
    if not frames:
        return False
    frame, place = frames[-1]
    if frame.f_globals.get("__name__") == "asyncio.runners":
        return False
    return frame.f_code.co_code[place] == _RAISE


class Guarded:
    """A function of the site's, for Huey to call, which catches and logs an ``Exception`` of it.

    It equals the function, so that Huey finds it by that.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._function(*args, **kwargs)
        except BaseException as error:
            if is_exception(error) or passes(error):
                raise
            raise as_exception(error) from error

    def __eq__(self, other: object) -> bool:
        return self._function == (other._function if isinstance(other, Guarded) else other)

    def __hash__(self) -> int:
        return hash(self._function)
