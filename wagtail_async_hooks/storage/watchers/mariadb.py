"""Watches MariaDB: has the server look, many times in one statement, whether a row waits."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from django.db import Error, connections

from wagtail_async_hooks.storage.watchers.base import LISTEN_INTERVAL
from wagtail_async_hooks.storage.watchers.polling import POLL_INTERVAL
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

LOOK_INTERVAL: Final = 0.01
"""Seconds between two looks of the server's. It costs nothing else as much as to wake up."""

SHORTEST_PAUSE: Final = POLL_INTERVAL / 8
"""Seconds after which to look again for what was there at the first look; then twice as many."""


class MariaDBWatcher:
    """Ask the server whether a row waits, or as soon as one does.

    A row that was there before may be nothing for this worker, since it is of another queue, say.
    While there is one, this asks as often as :class:`.PollingWatcher` does, and a thread looks.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._prepared: Any = None
        self._pause = 0.0

    @classmethod
    def works(cls, alias: str) -> bool:
        """Return whether the server takes such a statement."""
        # Not above: a site without the app in INSTALLED_APPS imports this, and has no models.
        from wagtail_async_hooks.ledger import looking

        connections[alias].ensure_connection()
        if not looking.can_look(alias):
            return False
        try:
            cls(alias)._look(looks=0)
        except Error as error:
            if not connections[alias].is_usable():
                raise
            logger.info(
                "MariaDB does not look for tasks in one statement: polling %r instead: %s",
                alias,
                one_line(error),
            )
            return False
        return True

    def close(self) -> None:
        """See :class:`.Watcher`."""

    def has_news(self) -> bool:
        """See :class:`.Watcher`."""
        time.sleep(self._pause)
        found = self._look(looks=round(LISTEN_INTERVAL / LOOK_INTERVAL))
        if found == 0:
            self._pause = min(max(2 * self._pause, SHORTEST_PAUSE), POLL_INTERVAL)
        else:
            self._pause = 0.0
        return found is not None

    def _look(self, looks: int) -> int | None:
        from wagtail_async_hooks.ledger import looking

        connection = connections[self.alias]
        connection.ensure_connection()
        if connection.connection is not self._prepared:
            looking.prepare_to_look(connection)
            self._prepared = connection.connection
        return looking.look_repeatedly(connection, LOOK_INTERVAL, looks)
