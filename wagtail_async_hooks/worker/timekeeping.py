"""Comparison of a worker's clock with the database's, and a warning where they differ."""

from __future__ import annotations

import logging
import time

from wagtail_async_hooks import ledger
from wagtail_async_hooks.utils.database import clock

logger = logging.getLogger(__name__)


class Timekeeper:
    """Measures the difference of the clocks for one worker."""

    def __init__(self) -> None:
        self._logged = 0

    def measure(self) -> int:
        """Return by how many seconds our clock is ahead of the database's; one query.

        A warning is logged if it exceeds the tolerance, and again when it changes by as much.
        """
        asked_at = time.monotonic()
        ahead = clock.measured(ledger.clock(), asked_at)
        if abs(ahead - self._logged) > clock.TOLERANCE:
            self._log(ahead)
        return ahead

    def _log(self, ahead: int) -> None:
        if abs(ahead) <= clock.TOLERANCE:
            self._logged = 0
            logger.info("The clock of this host agrees with the database's again.")
            return
        self._logged = ahead
        logger.warning(
            "The clock of this host is %s. Tasks keep the database's time, but Wagtail and the "
            "site's own code keep this one: set the clock right.",
            clock.described(ahead),
        )
