"""The database connections that a thread has opened.

Django's handler knows them too, but takes longer to be asked than what is done with them: some of
this is done several times for each task.
"""

from __future__ import annotations

import threading
from typing import Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_LOST: Final = "_is_of_a_lost_connection"


class _Thread(threading.local):
    wrappers: list[BaseDatabaseWrapper] | None = None


_here: Final = _Thread()


def opened() -> list[BaseDatabaseWrapper]:
    """Return the connections that this thread has opened; some may be closed since."""
    wrappers = _here.wrappers
    if wrappers is None:
        wrappers = _here.wrappers = list(connections.all(initialized_only=True))
    return wrappers


def is_any_in_atomic_block() -> bool:
    """Return whether this thread is in one of Django's atomic blocks, of whichever database."""
    for wrapper in opened():  # noqa: SIM110  (any() would make a generator)
        if wrapper.in_atomic_block:
            return True
    return False


def forget() -> None:
    """Ask Django's handler anew: it may have others by now than those that were opened here."""
    _here.wrappers = None


def drop(wrapper: BaseDatabaseWrapper) -> None:
    """Leave a connection to the threads with which it is shared."""
    _here.wrappers = [known for known in opened() if known is not wrapper]


def is_any_lost() -> bool:
    """Return whether a database that this thread has talked to does not answer any more."""
    return any(
        connection.connection is not None and not connection.is_usable()
        for connection in connections.all(initialized_only=True)
    )


def note_loss(error: Exception) -> None:
    """Note on an error that :func:`is_any_lost` in the thread in which it was raised."""
    setattr(error, _LOST, True)


def tells_of_loss(error: BaseException | None) -> bool:
    """Return whether that was noted."""
    return getattr(error, _LOST, False) is True


def _connected(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Get to know a connection, and forget those that are closed: Django opens them once more."""
    known = [
        wrapper for wrapper in opened() if wrapper.connection is not None or wrapper.in_atomic_block
    ]
    if connection not in known:
        known.append(connection)
    _here.wrappers = known


connection_created.connect(_connected, dispatch_uid=__name__)
