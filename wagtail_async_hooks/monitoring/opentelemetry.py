"""OpenTelemetry: the request that enqueues a task and the attempts at it are one trace; metrics.

Names are those of OpenTelemetry's conventions for messaging, where these have one. The module needs
the API of OpenTelemetry alone; where things are sent is up to the SDK that the site sets up.
Imported only where the settings ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Final

from blinker import NamedSignal
from django.db import connections, transaction
from huey.exceptions import CancelExecution, RateLimitExceeded, RetryTask, TaskLockedException
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wagtail_async_hooks import ledger, observers, signals
from wagtail_async_hooks._version import __version__
from wagtail_async_hooks.conf.options import DEFAULT_QUEUE
from wagtail_async_hooks.current_task import Running
from wagtail_async_hooks.models import Worker
from wagtail_async_hooks.monitoring import depths
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.types import State, TaskInfo
from wagtail_async_hooks.utils.catching import original
from wagtail_async_hooks.utils.errors import class_of

NAME: Final = "wagtail_async_hooks"
FLUSH: Final = 5_000
"""Milliseconds that the SDK gets to send the rest as a worker ends."""

_SEND: Final = "send"
_PROCESS: Final = "process"
_WISHES: Final = (CancelExecution, RateLimitExceeded, RetryTask, TaskLockedException)
"""What ends an attempt though nothing went wrong in it."""

_tracer: Final = trace.get_tracer(NAME, __version__)
_meter: Final = metrics.get_meter(NAME, __version__)
_propagator: Final = TraceContextTextMapPropagator()
"""Not the site's: baggage may come from anybody, and is not for the ledger."""

Attributes = dict[str, str | int]


# Traces -------------------------------------------------------------------------------------


class _Observer(observers.Observer):
    """Makes a span of each enqueueing, and one of each attempt."""

    name = "opentelemetry"

    def enqueueing(self, task: QueuedTask) -> AbstractContextManager[object]:
        attributes = _of_task(task, _SEND)
        name = f"{_SEND} {attributes['messaging.destination.name']}"
        return _tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes)

    def carry(self) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier

    def attempting(
        self, running: Running, carried: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        return _attempting(running, carried)


_observer: Final = _Observer()


@contextmanager
def _attempting(running: Running, carried: Mapping[str, str]) -> Iterator[None]:
    attributes = _of_task(running.task, _PROCESS)
    claim = running.claim
    attributes[f"{NAME}.attempt"] = running.tries if claim is None else claim.attempt
    if claim is not None:
        attributes[f"{NAME}.task"] = claim.pk
    with _tracer.start_as_current_span(
        f"{_PROCESS} {attributes['messaging.destination.name']}",
        context=_propagator.extract(carried, context=Context()),
        kind=SpanKind.CONSUMER,
        attributes=attributes,
    ) as span:
        yield
        _conclude(span, running.exception)


def _conclude(span: Span, error: BaseException | None) -> None:
    """Say in a span how an attempt ended."""
    if error is None or issubclass(type(error), _WISHES):
        return
    error = original(error)
    span.record_exception(error)
    span.set_attribute("error.type", class_of(error))
    span.set_status(Status(StatusCode.ERROR, class_of(error)))


def _of_task(task: QueuedTask, operation: str) -> Attributes:
    """Return what spans tell of a task; nothing that it was called with."""
    submission, definition, claim = task.submission, task.definition, task.claim
    known = submission.queue or definition.queue or DEFAULT_QUEUE
    hook = submission.hook or definition.hook
    told = _of_queue(claim.queue if claim is not None else known, operation)
    told["messaging.message.id"] = str(task.id)
    told["code.function.name"] = submission.function or definition.function
    return told | ({f"{NAME}.hook": hook} if hook else {})


def _of_queue(queue: str, operation: str) -> Attributes:
    return {
        "messaging.system": NAME,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }


# Metrics ------------------------------------------------------------------------------------

SENT: Final = _meter.create_counter(
    "messaging.client.sent.messages",
    unit="{message}",
    description="Background tasks enqueued, by transactions that committed.",
)
CONSUMED: Final = _meter.create_counter(
    "messaging.client.consumed.messages",
    unit="{message}",
    description="Attempts that workers have started.",
)
DURATION: Final = _meter.create_histogram(
    "messaging.process.duration", unit="s", description="Duration of attempts."
)
WAIT: Final = _meter.create_histogram(
    f"{NAME}.wait",
    unit="s",
    description="Time from when a task could have run until a worker started it.",
)
FINISHED: Final = _meter.create_counter(
    f"{NAME}.finished",
    unit="{task}",
    description="Background tasks that have come to an end, by state.",
)


def _of_info(task: TaskInfo, operation: str) -> Attributes:
    return {**_of_queue(task.queue, operation), f"{NAME}.hook": task.sender}


def _once_committed(count: Callable[[], None]) -> None:
    transaction.on_commit(count, using=ledger.database(), robust=True)


def _count_enqueued(sender: str, *, task: TaskInfo, **more: Any) -> None:
    _once_committed(partial(SENT.add, 1, _of_info(task, _SEND)))


def _count_started(sender: str, *, task: TaskInfo, **more: Any) -> None:
    attributes = _of_info(task, _PROCESS)
    CONSUMED.add(1, attributes)
    if (seconds := depths.waited(task.pk)) is not None:
        WAIT.record(seconds, attributes)


def _count_end(
    state: State, sender: str, *, task: TaskInfo, duration: float = 0.0, **more: Any
) -> None:
    attributes = _of_info(task, _PROCESS)
    _once_committed(partial(FINISHED.add, 1, {**attributes, f"{NAME}.state": state.value}))
    _record(attributes, duration)


def _count_repetition(sender: str, *, task: TaskInfo, duration: float = 0.0, **more: Any) -> None:
    _record(_of_info(task, _PROCESS), duration)


def _record(attributes: Attributes, duration: float) -> None:
    if duration > 0:  # what was not begun, such as a task that somebody cancelled, took no time
        DURATION.record(duration, attributes)


class _Gauges:
    """What the ledger holds, from the worker that was started first: from all, it would add up."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._is_made = False

    def begin(self, sender: str, *, worker: Worker, **more: Any) -> None:
        """A worker runs in this process from now on."""
        self._worker = worker
        if self._is_made:
            return
        self._is_made = True
        for name, unit, read, told in (
            ("depth", "{task}", self.observe_depths, "Background tasks in a queue and state."),
            ("oldest", "s", self.observe_ages, "For how long the oldest task has waited, or runs."),
            ("workers", "{worker}", self.observe_workers, "Worker processes that are alive."),
        ):
            _meter.create_observable_gauge(
                f"{NAME}.{name}", callbacks=[read], unit=unit, description=told
            )

    def end(self, sender: str, **more: Any) -> None:
        """The worker has stopped: send the rest, as its process may end without more ado."""
        self._worker = None
        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
            if flush := getattr(provider, "force_flush", None):
                flush(FLUSH)

    def observe_depths(self, options: CallbackOptions) -> Iterable[Observation]:
        """Yield how many tasks there are."""
        for depth in self._read().tasks:
            yield Observation(depth.number, _of_depth(depth))

    def observe_ages(self, options: CallbackOptions) -> Iterable[Observation]:
        """Yield how old the oldest tasks are, in seconds."""
        for depth in self._read().tasks:
            if depth.oldest is not None:
                yield Observation(depth.oldest, _of_depth(depth))

    def observe_workers(self, options: CallbackOptions) -> Iterable[Observation]:
        """Yield how many workers are alive."""
        if found := self._read().workers:
            yield Observation(len(found))

    def _read(self) -> depths.Depths:
        """Return what the ledger holds, if this process is to tell; the thread is the SDK's."""
        worker = self._worker
        if worker is None:
            return depths.Depths()
        connection = connections[ledger.database()]
        is_new = connection.connection is None
        try:
            is_first = ledger.oldest_alive() == worker.pk
            return depths.depths() if is_first else depths.Depths()
        finally:
            if is_new:
                connection.close()


def _of_depth(depth: depths.Depth) -> Attributes:
    return {"messaging.destination.name": depth.queue, f"{NAME}.state": depth.state.value}


_gauges: Final = _Gauges()

_RECEIVERS: Final[dict[NamedSignal, Callable[..., None]]] = {
    signals.enqueued: _count_enqueued,
    signals.started: _count_started,
    signals.succeeded: partial(_count_end, State.SUCCEEDED),
    signals.failed: partial(_count_end, State.FAILED),
    signals.cancelled: partial(_count_end, State.CANCELLED),
    signals.expired: partial(_count_end, State.EXPIRED),
    signals.merged: partial(_count_end, State.MERGED),
    signals.retrying: _count_repetition,
    signals.snoozed: _count_repetition,
    signals.worker_started: _gauges.begin,
    signals.worker_stopped: _gauges.end,
}


def connect() -> None:
    """Trace and count from now on."""
    observers.add(_observer)
    for signal, receiver in _RECEIVERS.items():
        signal.connect(receiver)


def disconnect() -> None:
    """Trace and count no more."""
    observers.remove(_observer)
    for signal, receiver in _RECEIVERS.items():
        signal.disconnect(receiver)
