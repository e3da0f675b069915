"""The fault of :mod:`tests.faults.locking`, small."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.faults import locking
from tests.faults.harness import Harness

pytestmark = pytest.mark.slow


def test_ledger_locked__the_change_stands_and_nothing_is_lost(harness: Harness) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("its one lock is that of the whole database")
    result = locking.ledger_locked(harness)
    assert result.submitted == result.run > 0
    assert (result.run_twice, result.lost) == (0, 0)
