"""What the package does when something happens; each function leaves a line in a file."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from django.dispatch import Signal

stock_changed = Signal()
"""A signal of the package's own."""


def trace(what: str) -> None:
    """Say which process did what."""
    if path := os.environ.get("NEIGHBOUR_TRACE"):
        with Path(path).open("a") as file:
            file.write(f"{os.getpid()} {what}\n")


calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
"""What was called in this process."""


def _called(name: str, *args: Any, **kwargs: Any) -> str:
    calls.append((name, args, kwargs))
    trace(name)
    return name


def purge(request: Any, page: Any, *more: Any) -> str:
    """For hooks of pages."""
    return _called("purge", request, page, *more)


def ping(request: Any, page: Any) -> str:
    """Another one."""
    return _called("ping", request, page)


async def aping(request: Any, page: Any) -> str:
    """One that is awaited."""
    return _called("aping", request, page)


def refuse(request: Any, page: Any) -> str:
    """For a hook whose answer counts."""
    return _called("refuse", request, page)


def sweep(request: Any, instances: Any) -> str:
    """For a hook about what was deleted."""
    return _called("sweep", [str(each) for each in instances], [each.pk for each in instances])


def fresh(sender: Any, instance: Any, **kwargs: Any) -> str:
    """For signals."""
    return _called("fresh", sender, instance)


def gone(sender: Any, instance: Any, **kwargs: Any) -> str:
    """For signals about what was deleted."""
    return _called("gone", sender, str(instance), instance.pk)


async def afresh(sender: Any, instance: Any, **kwargs: Any) -> str:
    """For signals, awaited."""
    return _called("afresh", sender, instance)


def early(sender: Any, **kwargs: Any) -> str:
    """For signals whose receivers have to act at once."""
    return _called("early", sender)


def counted(sender: Any, number: int, **kwargs: Any) -> str:
    """For the package's own signal."""
    return _called("counted", sender, number)


def posted(request: Any, page: Any) -> None:
    """Reads what a worker does not have."""
    _called("posted", request.POST.get("q"))


def remember(request: Any, page: Any) -> None:
    """Leaves something on the page."""
    page._title_before = page.title
    setattr(page, MARK, True)


MARK = "told_before"


def compare(request: Any, page: Any) -> None:
    """Reads it."""
    _called("compare", getattr(page, MARK, False), page._title_before)


def decorated(function: Any) -> Any:
    """Return a function that calls another one."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@decorated
def wrapped(request: Any, page: Any) -> str:
    """A decorated function."""
    return _called("wrapped", request, page)


def _made() -> Any:
    def inner(request: Any, page: Any) -> str:
        return _called("inner", request, page)

    return inner


class Purger:
    """Does its work in methods, and when it is called."""

    def purge(self, request: Any, page: Any) -> str:
        """Purge."""
        return _called("method", request, page)

    def __call__(self, request: Any, page: Any) -> str:
        return _called("instance", request, page)


nested = _made()
nameless = lambda request, page: _called("lambda", request, page)  # noqa: E731
part = functools.partial(purge)
purger = Purger()
method = purger.purge
number = 7
alias = purge
