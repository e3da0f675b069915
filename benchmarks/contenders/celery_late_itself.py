"""Celery that acknowledges tasks when they are done; it gives lost ones back after a minute."""

from __future__ import annotations

from benchmarks.contenders.celery_itself import enqueue, enqueue_many, kept, set_up, workers

__all__ = ["enqueue", "enqueue_many", "kept", "set_up", "workers"]
