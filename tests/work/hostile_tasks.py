"""Tasks that behave as no task should: they raise what is no ``Exception``, or leave a mess."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tests.work.tasks import leave_trace
from wagtail_async_hooks import background


class OwnBaseException(BaseException):
    """Nobody's ``Exception``."""


class Unreadable(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise OwnBaseException("of the text")


class NoText(Exception):
    """An exception whose text is none."""

    def __str__(self) -> Any:
        return 42


class Elsewhere(Exception):
    """An exception whose class lies about its module."""


Elsewhere.__module__ = 42  # type: ignore[assignment]


class Untraceable(Exception):
    """An exception that :mod:`traceback` cannot format."""

    @property
    def __cause__(self) -> Any:
        raise OwnBaseException("of the cause")


class Shapeless(Exception):
    """An exception that nobody may ask for its class."""

    @property
    def __class__(self) -> Any:
        raise OwnBaseException("of the class")


def _chain() -> Exception:
    first = error = ValueError("the first of a long chain")
    for number in range(3000):
        error.__cause__ = ValueError(number)
        error = error.__cause__
    error.__cause__ = first
    return first


def _recurse() -> None:
    _recurse()


RAISED: dict[str, Any] = {
    "own": lambda: OwnBaseException("my own"),
    "generator exit": lambda: GeneratorExit("closed"),
    "keyboard interrupt": lambda: KeyboardInterrupt("Ctrl-C of nobody"),
    "system exit": lambda: SystemExit("goodbye"),
    "cancelled": lambda: asyncio.CancelledError("given up"),
    "group": lambda: BaseExceptionGroup("two", [OwnBaseException("one"), ValueError("two")]),
    "exception group": lambda: ExceptionGroup("two", [ValueError("one"), ValueError("two")]),
    "stop iteration": lambda: StopIteration("no more"),
    "stop async iteration": lambda: StopAsyncIteration("no more"),
    "memory": lambda: MemoryError("no room"),
    "unreadable": Unreadable,
    "no text": NoText,
    "long": lambda: ValueError("x" * 50_000_000),
    "chain": _chain,
    "elsewhere": lambda: Elsewhere("who knows"),
    "untraceable": lambda: Untraceable("who knows"),
    "shapeless": lambda: Shapeless("who knows"),
}
"""What the tasks raise, by a name."""


@background.task()
def fail_with(path: str, name: str) -> None:
    """Raise something."""
    leave_trace(path, "attempt", name.replace(" ", "-"))
    if name == "recursion":
        _recurse()
    raise RAISED[name]()


@background.task(retries=2)
def fail_again(path: str, name: str) -> None:
    """Raise something, at each of three attempts."""
    leave_trace(path, "attempt", name.replace(" ", "-"))
    raise RAISED[name]()


@background.task()
async def fail_in_coroutine(path: str, name: str) -> None:
    """Raise something in a coroutine."""
    leave_trace(path, "attempt", name.replace(" ", "-"))
    await asyncio.sleep(0)
    raise RAISED[name]()


@background.task()
async def await_cancelled(path: str, how: str) -> None:
    """Be cancelled, in one of the ways in which that happens."""
    leave_trace(path, "attempt", how)
    if how == "inner":
        inner = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        inner.cancel()
        await inner
    elif how == "itself":
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(60)
    elif how == "exit":
        sys.exit("goodbye")
