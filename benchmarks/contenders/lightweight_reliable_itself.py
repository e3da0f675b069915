"""django-lightweight-queue with its other backend on Redis, which keeps a job until it is done."""

from __future__ import annotations

from benchmarks.contenders.lightweight_itself import enqueue, enqueue_many, set_up, workers

__all__ = ["enqueue", "enqueue_many", "set_up", "workers"]
