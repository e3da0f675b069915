"""The faults of :mod:`tests.faults.outages`, small, on servers of their own."""

from __future__ import annotations

import pytest
from django.db import connection, connections

from tests.faults import outages, refusing
from tests.faults.harness import Fault, Harness, rows
from tests.faults.servers import MariaDB
from tests.work.refused import give
from wagtail_async_hooks import background

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "fault",
    [
        outages.database_stopped_while_busy,
        outages.database_stopped_while_idle,
        outages.database_crashed,
        outages.read_only_failover,
    ],
)
def test_database__loses_nothing(server_harness: Harness, fault: Fault) -> None:
    result = fault(server_harness)
    assert result.submitted == result.run
    assert result.lost == 0


@pytest.mark.parametrize("fault", [refusing.outcome_refused, refusing.outcome_refused_altogether])
def test_refused_outcome__loses_nothing(harness: Harness, fault: Fault) -> None:
    result = fault(harness)
    assert (result.run, result.run_twice, result.lost) == (result.submitted, 0, 0)


def test_result__larger_than_a_packet_of_mariadb_is_dropped(server_harness: Harness) -> None:
    if not isinstance(server_harness.database, MariaDB):
        pytest.skip("only MySQL and MariaDB have such a limit")
    server_harness.database.set_largest_packet(1_048_576)
    connections.close_all()
    give(2_000_000, priority=1)
    give(200_000)
    while (task := background.next()) is not None:
        background.execute(task)
    large, small = rows().order_by("-priority")
    assert (large.state, large.result, small.state) == ("succeeded", None, "succeeded")
    assert large.error.startswith("the result was not kept: 2000")
    assert (small.error, len(small.result) > 200_000) == ("", True)


def skip_but_on_sqlite() -> None:
    """Have `make soak` show what does not depend on the database."""
    if connection.vendor != "sqlite":
        pytest.skip("the run on SQLite has this")


def test_claim_unheard_of__waits_again(harness: Harness) -> None:
    skip_but_on_sqlite()
    result = outages.claim_unheard_of(harness)
    assert (result.run, result.lost) == (result.submitted, 0)


@pytest.mark.parametrize(
    "fault",
    [
        outages.redis_stopped,
        outages.redis_frozen,
        outages.redis_full,
        outages.redis_flushed,
        outages.redis_unreachable,
    ],
)
def test_redis__loses_nothing(redis_harness: Harness, fault: Fault) -> None:
    skip_but_on_sqlite()
    result = fault(redis_harness)
    assert result.submitted == result.run
    assert result.lost == 0
