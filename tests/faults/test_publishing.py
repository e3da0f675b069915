"""The fault of :mod:`tests.faults.publishing`, small."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.faults import publishing
from tests.faults.harness import Harness

pytestmark = pytest.mark.slow


def test_many_editors__see_no_error(harness: Harness) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("it is about SQLite's one writer at a time")
    result = publishing.many_editors(harness)
    assert result.submitted == result.run > 0
    assert (result.run_twice, result.lost) == (0, 0)
