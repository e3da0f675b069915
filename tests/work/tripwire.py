"""Tells when it is imported or called; the test that it does so is the only one that may do it."""

from __future__ import annotations

import os

from tests.work.tasks import leave_trace

PATH = os.environ["TEST_TRIPWIRE"]

leave_trace(PATH, "imported")


class Wire(Exception):
    """An error that is seen to be made."""

    def __init__(self, text: str) -> None:
        leave_trace(PATH, "made", text)
        super().__init__(text)


def pull(*args: object) -> None:
    """Be seen to be called."""
    leave_trace(PATH, "called", *args)
