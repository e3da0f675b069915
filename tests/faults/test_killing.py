"""The faults of :mod:`tests.faults.killing`, small."""

from __future__ import annotations

import pytest

from tests.faults import killing
from tests.faults.harness import Fault, Harness

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "fault",
    [
        killing.worker_killed,
        killing.worker_killed_beside_another,
        killing.web_killed_before_commit,
        killing.web_killed_after_commit,
        killing.poison,
        killing.fork,
        killing.worker_frozen,
    ],
)
def test_fault__loses_nothing(harness: Harness, fault: Fault) -> None:
    result = fault(harness)
    assert result.submitted == result.run
    assert result.lost == 0


@pytest.mark.parametrize("fault", [killing.worker_killed, killing.web_killed_after_commit])
def test_fault__loses_nothing_on_redis(redis_harness: Harness, fault: Fault) -> None:
    result = fault(redis_harness)
    assert result.submitted == result.run
    assert result.lost == 0
