"""How long a worker waits for a database that does not work, and when it gives up.

:mod:`~wagtail_async_hooks.utils.database.outages` waits between tries, and logs them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError

from wagtail_async_hooks.exceptions import OutageLasts
from wagtail_async_hooks.utils.database.errors import in_one_line
from wagtail_async_hooks.utils.database.outages import Outage, persist


class Patience:
    """The time that a worker waits, in its main thread, for a database that does not work.

    :param outage: the outage that all threads of the worker report to.
    :param seconds: seconds after which the worker gives up.
    """

    def __init__(self, outage: Outage, seconds: float) -> None:
        self._outage = outage
        self._seconds = seconds

    def insist(self, action: Callable[[], Any]) -> Any:
        """Call a function, and again while the database does not work.

        :raises OutageLasts: if that lasts for too long.
        """
        try:
            return persist(action, self._outage, self._seconds)
        except (DatabaseError, InterfaceError) as error:
            raise OutageLasts(f"{self._outage.newest or in_one_line(error)}.") from error

    def check(self) -> None:
        """Give up if an outage that threads have reported lasts for too long.

        :raises OutageLasts: if it does.
        """
        if self._outage.seconds > self._seconds:
            raise OutageLasts(f"{self._outage.newest}.")
