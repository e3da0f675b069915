"""How long tasks wait for workers that have time for them."""

from __future__ import annotations

import random
import time
from typing import Any, Final

from benchmarks import work
from benchmarks.workers import Workers

BUSY_FOR: Final = 0.02
BUSY_EVERY: Final = (0.02, 0.04)
"""Seconds that tasks take which keep workers busy, and at least and at most from one to the next:
one of two workers has something to do for two thirds of the time, and hardly ever both."""

_AT_RANDOM: Final = 0.05
"""A rest is longer by up to so many seconds. If all were of the same length, who looks for tasks
every few milliseconds would look after each of them at the same moment."""


def after_rests(module: Any, workers: Workers, times: int, rest: float) -> list[float]:
    """Enqueue a task after each of some rests; return the milliseconds until each has begun.

    :param module: the contender's.
    :param rest: seconds in which the workers have nothing to do.
    """
    chance, begun, known = random.Random(times), time.monotonic(), work.count()
    for number in range(times):
        time.sleep(rest + chance.uniform(0, _AT_RANDOM))
        module.enqueue(0.0, time.monotonic())
        workers.wait_for(known + number + 1, pause=0.005)
    return _since(begun)


def while_busy(module: Any, workers: Workers, times: int) -> list[float]:
    """Enqueue one task after the other; return the milliseconds until each has begun.

    :param module: the contender's.
    """
    chance, begun, known = random.Random(times), time.monotonic(), work.count()
    due = begun
    for _ in range(times):
        due += chance.uniform(*BUSY_EVERY)
        time.sleep(max(0.0, due - time.monotonic()))
        module.enqueue(BUSY_FOR, time.monotonic())
    workers.wait_for(known + times, pause=0.005)
    return _since(begun)


def _since(moment: float) -> list[float]:
    return [1000 * (trace.begun - trace.sent) for trace in work.traces() if trace.sent >= moment]
