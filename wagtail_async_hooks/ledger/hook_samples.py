"""How long synchronous functions of hooks took, as web processes have measured it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.db import connections

from wagtail_async_hooks.ledger.base import BATCH, database
from wagtail_async_hooks.models import HookSample
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.database.values import fitted

HOOK_SAMPLES_KEPT: Final = datetime.timedelta(days=7)
"""How long samples stay."""

_BATCHES: Final = 20
"""So many batches of old samples are deleted at once."""


class HookTimes(NamedTuple):
    """What one process has measured of one function for one hook.

    :param function: its dotted path, or what it is where it has no name.
    :param calls: how many calls there were.
    :param seconds: that they took, altogether.
    :param durations: seconds that some of the calls took, chosen at random.
    """

    hook: str
    function: str
    calls: int
    seconds: float
    durations: tuple[float, ...]


def add_hook_samples(measured: Iterable[HookTimes]) -> None:
    """Record what one process has measured: one row for each function, by one INSERT."""
    alias = database()
    rows = [HookSample(**_columns(each, alias)) for each in measured]
    HookSample.objects.using(alias).bulk_create(rows, batch_size=BATCH)


def prune_hook_samples() -> int:
    """Delete old samples; return how many, which is a bounded number."""
    samples = HookSample.objects.using(database())
    gone = 0
    for _ in range(_BATCHES):
        old = samples.filter(at__lt=DatabaseNow() - HOOK_SAMPLES_KEPT)
        keys = list(old.order_by("at").values_list("pk", flat=True)[:BATCH])
        if not keys:
            break
        gone += samples.filter(pk__in=keys).delete()[0]
    return gone


def _columns(measured: HookTimes, alias: str) -> dict[str, Any]:
    columns = {**measured._asdict(), "durations": list(measured.durations), "at": DatabaseNow()}
    return fitted(HookSample, columns, connections[alias])
