"""Limits of the tests, all in seconds, and all against hanging: none of them measures speed.

A test waits for conditions, and goes on as soon as they are true. What is promised in time is
measured by the benchmarks. On a machine that is slower still, ``TEST_SLOWNESS=3`` lets all of
these last three times as long.
"""

from __future__ import annotations

import os
from typing import Final

SLOWNESS: Final = float(os.environ.get("TEST_SLOWNESS", "1"))

PATIENCE: Final = 180 * SLOWNESS
"""A condition that has not come true by then is a failure."""

TEST: Final = 900 * SLOWNESS
"""A test that has not ended by then fails, and says where it hung."""

ENDING: Final = 30 * SLOWNESS
"""A process that has been asked to end and has not by then is killed."""
