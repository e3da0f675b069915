"""Metrics for Prometheus: counters and histograms of what happens here, and gauges of the ledger.

What happens in a process is counted there, by the signals, in the registry that
``prometheus-client`` has for all; with ``PROMETHEUS_MULTIPROC_DIR`` the processes of a host count
together. What the ledger holds is the same whoever asks, and is read when somebody does.

The module is imported only where the settings ask for it, as it needs ``prometheus-client``.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from blinker import NamedSignal
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from wagtail_async_hooks import ledger, signals
from wagtail_async_hooks.monitoring import depths
from wagtail_async_hooks.types import State, TaskInfo

logger = logging.getLogger("wagtail_async_hooks.worker")

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which the processes of a host count together."""

MOST_LABELS: Final = 500
"""Number of pairs of a queue and a hook that a process tells apart."""

OTHER: Final = "(other)"
"""The queue and the hook of all others: names can come from data, and each costs Prometheus."""

RETRY_INTERVAL: Final = 5.0
"""Seconds until a port is tried again that another process uses."""

_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    *(60, 300, 900, 3600, 14400),
)
_LABELS: Final = ("queue", "hook")

ENQUEUED: Final = Counter(
    "wagtail_tasks_enqueued", "Background tasks enqueued, by transactions that committed.", _LABELS
)
STARTED: Final = Counter("wagtail_tasks_started", "Attempts that workers have started.", _LABELS)
FINISHED: Final = Counter(
    "wagtail_tasks_finished", "Background tasks that have come to an end.", (*_LABELS, "state")
)
REPEATED: Final = Counter(
    "wagtail_tasks_repeated",
    "Attempts after which a task is to run again, by why: retry, snooze or rescue.",
    (*_LABELS, "reason"),
)
WAIT: Final = Histogram(
    "wagtail_tasks_wait_seconds",
    "Time from when a task could have run until a worker started it.",
    _LABELS,
    buckets=_BUCKETS,
)
DURATION: Final = Histogram(
    "wagtail_tasks_duration_seconds", "Duration of attempts.", _LABELS, buckets=_BUCKETS
)


# Counting -----------------------------------------------------------------------------------


class _Labels:
    """Queue and hook of tasks, as labels of which there is a bounded number."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def of(self, task: TaskInfo) -> tuple[str, str]:
        """Return the labels of a task; of a task without a hook, its name stands for that."""
        pair = task.queue, task.sender
        if pair in self._known:
            return pair
        with self._lock:
            if len(self._known) < MOST_LABELS:
                self._known.add(pair)
        return pair if pair in self._known else (OTHER, OTHER)


_labels = _Labels()


def _once_committed(count: Callable[[], None]) -> None:
    """Count what a transaction has done, if it commits; without one, at once."""
    transaction.on_commit(count, using=ledger.database(), robust=True)


def _count_enqueued(sender: str, *, task: TaskInfo, **more: Any) -> None:
    _once_committed(ENQUEUED.labels(*_labels.of(task)).inc)


def _count_started(sender: str, *, task: TaskInfo, **more: Any) -> None:
    labels = _labels.of(task)
    STARTED.labels(*labels).inc()
    if (seconds := depths.waited(task.pk)) is not None:
        WAIT.labels(*labels).observe(seconds)


def _count_end(
    state: State, sender: str, *, task: TaskInfo, duration: float = 0.0, **more: Any
) -> None:
    labels = _labels.of(task)
    _once_committed(FINISHED.labels(*labels, state.value).inc)
    _observe(labels, duration)


def _count_repetition(
    reason: str, sender: str, *, task: TaskInfo, duration: float = 0.0, **more: Any
) -> None:
    labels = _labels.of(task)
    REPEATED.labels(*labels, reason).inc()
    _observe(labels, duration)


def _count_rescue(sender: str, *, task: TaskInfo, waits: bool, **more: Any) -> None:
    if waits:  # otherwise it has failed, of which another signal tells
        _count_repetition("rescue", sender, task=task)


def _observe(labels: tuple[str, str], duration: float) -> None:
    if duration > 0:  # what was not begun, such as a task that somebody cancelled, took no time
        DURATION.labels(*labels).observe(duration)


_RECEIVERS: Final[dict[NamedSignal, Callable[..., None]]] = {
    signals.enqueued: _count_enqueued,
    signals.started: _count_started,
    signals.succeeded: partial(_count_end, State.SUCCEEDED),
    signals.failed: partial(_count_end, State.FAILED),
    signals.cancelled: partial(_count_end, State.CANCELLED),
    signals.expired: partial(_count_end, State.EXPIRED),
    signals.merged: partial(_count_end, State.MERGED),
    signals.retrying: partial(_count_repetition, "retry"),
    signals.snoozed: partial(_count_repetition, "snooze"),
    signals.rescued: _count_rescue,
}


def connect() -> None:
    """Count from now on."""
    for signal, receiver in _RECEIVERS.items():
        signal.connect(receiver)


def disconnect() -> None:
    """Count no more."""
    for signal, receiver in _RECEIVERS.items():
        signal.disconnect(receiver)


# Showing ------------------------------------------------------------------------------------


class LedgerCollector(Collector):
    """Gauges of what the ledger holds, for the registry of a site's own.

    They are the same from every process, so one place should show them: the view
    :func:`metrics` does.
    """

    def describe(self) -> Iterator[Metric]:
        """See ``prometheus_client``: nothing is read as the collector is registered."""
        yield from _gauges()

    def collect(self) -> Iterator[Metric]:
        """Read the ledger."""
        tasks, at_least, oldest, workers, threads = _gauges()
        now = depths.depths()
        for depth in now.tasks:
            labels = [depth.queue, depth.state.value]
            tasks.add_metric(labels, depth.number)
            at_least.add_metric(labels, not depth.is_all)
            if depth.oldest is not None:
                oldest.add_metric(labels, depth.oldest)
        workers.add_metric([], len(now.workers))
        for queue in now.queues:
            threads.add_metric([queue], now.threads(queue))
        yield from (tasks, at_least, oldest, workers, threads)


def _gauges() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily(
            "wagtail_tasks_depth",
            "Background tasks in a queue and state, as far as they are counted.",
            labels=["queue", "state"],
        ),
        GaugeMetricFamily(
            "wagtail_tasks_depth_at_least",
            "1 where there may be more of them, as not all are counted; otherwise 0.",
            labels=["queue", "state"],
        ),
        GaugeMetricFamily(
            "wagtail_tasks_oldest_seconds",
            "For how long the oldest task has waited for a worker, is overdue, or runs.",
            labels=["queue", "state"],
        ),
        GaugeMetricFamily("wagtail_tasks_workers", "Worker processes that are alive."),
        GaugeMetricFamily(
            "wagtail_tasks_threads", "Threads of workers that serve a queue.", labels=["queue"]
        ),
    )


def counted() -> CollectorRegistry:
    """Return the registry with what was counted: here, or by all processes of this host.

    :raises ValueError: if ``PROMETHEUS_MULTIPROC_DIR`` names no folder.
    """
    if not os.environ.get(DIRECTORY):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
    return registry


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Show all metrics to Prometheus: what was counted, and what the ledger holds."""
    ledgers = CollectorRegistry()
    ledgers.register(LedgerCollector())
    text = generate_latest(counted()) + generate_latest(ledgers)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


class Server:
    """Shows what was counted, in threads of its own, while a worker runs.

    While another process uses the port, it tries again: several processes of one worker share it
    where they count together, and a worker that starts may meet the one whose place it takes.

    :param address: an address and a port, such as ``"127.0.0.1:9464"``.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address, self._host, self._port = address, host.strip("[]"), int(port)
        self._registry = counted()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        is_told = False
        while not self._end.is_set():
            try:
                server, thread = start_http_server(self._port, self._host, self._registry)
            except OSError as error:
                if not is_told:
                    level = logging.DEBUG if os.environ.get(DIRECTORY) else logging.WARNING
                    told = "Metrics cannot be shown at %s, trying again: %s"
                    logger.log(level, told, self._address, error)
                is_told = True
                self._end.wait(RETRY_INTERVAL)
                continue
            logger.info("Metrics are shown at http://%s/metrics.", self._address)
            self._end.wait()
            server.shutdown()
            server.server_close()
            thread.join()
