"""Chores: what the maintenance of a worker does for packages above this one, such as alerts.

A chore never raises, and is quick: heartbeats come from the same thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from wagtail_async_hooks.worker.identity import Registration


class Chore(Protocol):
    """What one worker does now and then."""

    def do(self) -> None:
        """Called after each heartbeat, in the thread of the maintenance."""

    def end(self) -> None:
        """Called as the maintenance ends, in its thread; may take some seconds."""


Factory = Callable[["Registration"], Chore | None]

_factories: Final[list[Factory]] = []


def add(factory: Factory) -> None:
    """Have each worker that starts from now on do a chore.

    :param factory: called with the worker; returns ``None`` if there is nothing to do.
    """
    if factory not in _factories:
        _factories.append(factory)


def of_worker(worker: Registration) -> list[Chore]:
    """Return the chores of a worker."""
    made = (factory(worker) for factory in _factories)
    return [chore for chore in made if chore is not None]
