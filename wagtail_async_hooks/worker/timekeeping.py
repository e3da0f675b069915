"""A worker compares its clock with the database's, and says so if it is wrong."""

from __future__ import annotations

import logging
import time

from wagtail_async_hooks import ledger
from wagtail_async_hooks.utils.database import clock

logger = logging.getLogger(__name__)


class Timekeeper:
    """What one worker process does for it."""

    def __init__(self) -> None:
        self._told = 0

    def look(self) -> int:
        """Return by how many seconds our clock is ahead of the database's; one query.

        A warning is logged where that is much, and again when it changes much.
        """
        asked_at = time.monotonic()
        ahead = clock.measured(ledger.clock(), asked_at)
        if abs(ahead - self._told) > clock.TOLERANCE:
            self._tell(ahead)
        return ahead

    def _tell(self, ahead: int) -> None:
        if abs(ahead) <= clock.TOLERANCE:
            self._told = 0
            logger.info("The clock of this host agrees with the database's again.")
            return
        self._told = ahead
        logger.warning(
            "The clock of this host is %s. Tasks keep the database's time, but Wagtail and the "
            "site's own code keep this one: set the clock right.",
            clock.described(ahead),
        )
