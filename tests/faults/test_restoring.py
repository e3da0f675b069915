"""The fault of :mod:`tests.faults.restoring`, small."""

from __future__ import annotations

import pytest

from tests.faults import restoring
from tests.faults.harness import Harness

pytestmark = pytest.mark.slow


def test_fault__loses_nothing(harness: Harness) -> None:
    result = restoring.ledger_restored(harness)
    assert result.submitted == result.run
    assert result.lost == 0
