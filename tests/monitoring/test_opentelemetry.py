"""Tests of OpenTelemetry, by its SDK: spans of request and task are one trace; metrics."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import Snooze, background, conf
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.worker.worker import Worker

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import baggage, context, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from wagtail_async_hooks.monitoring import opentelemetry

ADDRESS = "ada.lovelace@example.com"

exporter = InMemorySpanExporter()
reader = InMemoryMetricReader()


@pytest.fixture(scope="session")
def sdk() -> None:
    """Set up the SDK, which can be done once in a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))


@pytest.fixture
def traced(sdk: None, committed_db: None) -> Iterator[Callable[[], list[ReadableSpan]]]:
    """Trace tasks; return what returns the spans that have ended."""
    exporter.clear()
    opentelemetry.connect()
    yield lambda: list(exporter.get_finished_spans())
    opentelemetry.disconnect()


def request() -> Any:
    """Return the context in which a request is traced."""
    tracer = trace.get_tracer("a site")
    return tracer.start_as_current_span("POST /admin/pages/1/edit/", kind=SpanKind.SERVER)


def run() -> None:
    """Run what waits."""
    while (task := background.next()) is not None:
        background.execute(task)


Traced = Callable[[], list[ReadableSpan]]


@background.task()
async def trace_itself(number: int) -> None:
    with trace.get_tracer("a site").start_as_current_span(f"outer {number}"):
        await asyncio.sleep(0.05)
        with trace.get_tracer("a site").start_as_current_span(f"inner {number}"):
            await asyncio.sleep(0.05)


def test_coroutines_side_by_side__have_spans_of_their_own(traced: Traced) -> None:
    for number in range(4):
        trace_itself(number)
    worker = Worker(background, threads=1, coroutines=4)
    worker.prepare()
    worker.start()
    try:
        wait_until(lambda: len(traced()) == 16, "all spans have ended")
    finally:
        worker.stop()

    by_id = {span.context.span_id: span for span in traced()}
    ancestry = {}
    for span in traced():
        if span.name.startswith("inner"):
            line = [span]
            while line[-1].parent is not None:
                line.append(by_id[line[-1].parent.span_id])
            ancestry[span.name] = [each.name for each in line[1:]]
    assert ancestry == {
        f"inner {number}": [f"outer {number}", "process default", "send default"]
        for number in range(4)
    }


def test_request_and_task__are_one_trace(traced: Traced) -> None:
    with request(), transaction.atomic():
        tasks.add(1, 2)
    worker = Worker(background, threads=1)
    worker.prepare()
    worker.start()
    try:
        wait_until(lambda: len(traced()) == 3, "all spans have ended")
    finally:
        worker.stop()

    send, server, process = traced()
    row = BackgroundTask.objects.get()
    assert [span.name for span in (send, server, process)] == [
        "send default",
        "POST /admin/pages/1/edit/",
        "process default",
    ]
    assert {span.context.trace_id for span in traced()} == {server.context.trace_id}
    assert send.parent is not None
    assert send.parent.span_id == server.context.span_id
    assert process.parent is not None
    assert process.parent.span_id == send.context.span_id
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    common = {
        "messaging.system": "wagtail_async_hooks",
        "messaging.destination.name": "default",
        "messaging.message.id": row.task_id,
        "code.function.name": "tests.work.tasks.add",
    }
    assert dict(send.attributes or {}) == {
        **common,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    assert dict(process.attributes or {}) == {
        **common,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "wagtail_async_hooks.task": row.pk,
        "wagtail_async_hooks.attempt": 1,
    }
    assert process.status.status_code is StatusCode.UNSET


def test_hook__is_named_and_nothing_of_its_arguments(
    traced: Traced, on: Callable[..., None]
) -> None:
    from wagtail import hooks as wagtail_hooks
    from wagtail.models import Page

    on("after_edit_page", fail_about)
    token = context.attach(baggage.set_baggage("user", ADDRESS))
    try:
        with request():
            for function in wagtail_hooks.get_hooks("after_edit_page"):
                if getattr(function, "__name__", "") == "fail_about":
                    function(None, Page.objects.get(depth=2))
    finally:
        context.detach(token)
    assert ADDRESS.encode() not in bytes(BackgroundTask.objects.get().message)
    run()

    process = traced()[-1]
    assert process.attributes is not None
    assert process.attributes["wagtail_async_hooks.hook"] == "after_edit_page"
    assert process.attributes["error.type"] == "builtins.ValueError"
    assert process.status.status_code is StatusCode.ERROR
    [event] = process.events
    assert event.name == "exception"
    assert "Page" not in str(dict(process.attributes))


def fail_about(request: Any, page: Any) -> None:
    """Fail."""
    raise ValueError("no luck")


def test_retries__stay_in_the_trace(traced: Traced, tmp_path: Any, retried_at_once: None) -> None:
    with request():
        tasks.fail_twice(str(tmp_path / "trace.txt"))
    run()

    attempts = [span for span in traced() if span.kind is SpanKind.CONSUMER]
    assert len(attempts) == 3
    assert len({span.context.trace_id for span in traced()}) == 1
    assert len({span.parent.span_id for span in attempts if span.parent}) == 1
    codes = [span.status.status_code for span in attempts]
    assert codes == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]


def test_snooze_and_discard__are_no_errors(traced: Traced, task_of: Any) -> None:
    def not_yet() -> None:
        raise Snooze(60)

    def discard() -> None:
        raise KeyError("nothing")

    task_of(not_yet)()
    task_of(discard, discard_on=KeyError)()
    run()

    attempts = [span for span in traced() if span.kind is SpanKind.CONSUMER]
    assert [span.status.status_code for span in attempts] == [StatusCode.UNSET] * 2
    assert not any(span.events for span in attempts)
    # Nobody's request has enqueued them: each is a trace of its own.
    assert len({span.context.trace_id for span in traced()}) == 2


def test_immediate_mode__is_traced(traced: Traced, immediate: None) -> None:
    with request():
        tasks.fail()

    process, send, server = traced()
    assert process.parent is not None
    assert process.parent.span_id == send.context.span_id
    assert process.status.status_code is StatusCode.ERROR
    assert {span.context.trace_id for span in traced()} == {server.context.trace_id}


def test_follow_up__is_a_child_of_the_task(traced: Traced) -> None:
    with request():
        background.enqueue(tasks.add.s(1, 2).then(tasks.add, 3))
    run()

    spans = {span.context.span_id: span for span in traced()}
    last = traced()[-1]
    path = []
    while last.parent is not None:
        path.append(last.name)
        last = spans[last.parent.span_id]
    assert path == ["process default", "send default", "process default", "send default"]


def test_untraced_worker__runs_what_was_traced(traced: Traced) -> None:
    tasks.add(1, 2)
    opentelemetry.disconnect()
    run()
    assert BackgroundTask.objects.get().state == "succeeded"


def test_broken_tool__harms_no_task(
    traced: Traced, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no tracing today")

    for name in ("enqueueing", "carry", "attempting"):
        monkeypatch.setattr(opentelemetry._Observer, name, broken)
    tasks.add(1, 2)
    run()
    assert BackgroundTask.objects.get().state == "succeeded"
    said = [r for r in caplog.records if r.name == "wagtail_async_hooks.observers"]
    assert len(said) == 3
    assert said[0].getMessage() == "What observes tasks for opentelemetry failed."


def numbers() -> dict[tuple[Any, ...], Any]:
    """Return the metrics by name, hook or queue, and state; of histograms how many values."""
    found = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    given = point.attributes or {}
                    label = given.get("wagtail_async_hooks.hook")
                    label = label or given.get("messaging.destination.name", "")
                    key = metric.name, label, given.get("wagtail_async_hooks.state", "")
                    found[key] = getattr(point, "count", getattr(point, "value", None))
    return found


def test_metrics__are_what_the_ledger_says(traced: Traced) -> None:
    before = numbers()
    for _ in range(3):
        tasks.add(1, 2)
    tasks.fail()
    worker = Worker(background, threads=1)
    worker.prepare()
    worker.start()
    try:
        ended = BackgroundTask.objects.filter(finished_at__isnull=False)
        wait_until(lambda: ended.count() == 4, "all have run")

        def since(name: str, label: str, state: str = "") -> Any:
            return numbers().get((name, label, state), 0) - before.get((name, label, state), 0)

        finished = "wagtail_async_hooks.finished"
        add, fail = "tests.work.tasks.add", "tests.work.tasks.fail"
        wait_until(lambda: since(finished, fail, "failed") == 1, "all are counted")
        assert since(finished, add, "succeeded") == 3
        for name in ("messaging.client.sent.messages", "messaging.client.consumed.messages"):
            assert (since(name, add), since(name, fail)) == (3, 1)
        for name in ("messaging.process.duration", "wagtail_async_hooks.wait"):
            assert (since(name, add), since(name, fail)) == (3, 1)
        told = numbers()
        assert told["wagtail_async_hooks.workers", "", ""] == 1
        assert told["wagtail_async_hooks.depth", "default", "failed"] == 1
        assert told["wagtail_async_hooks.oldest", "default", "waiting"] == 0
    finally:
        worker.stop()
    assert "wagtail_async_hooks.workers" not in {name for name, *_ in numbers()}


@pytest.mark.slow
def test_settings__turn_it_on(start: Callable[..., Process]) -> None:
    code = (
        "from opentelemetry import trace as t; from opentelemetry.sdk.trace import *\n"
        "from opentelemetry.sdk.trace.export import *\n"
        "t.set_tracer_provider(TracerProvider())\n"
        "t.get_tracer_provider().add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))\n"
        "from tests.work.tasks import add; add(1, 2)"
    )
    site = {"DJANGO_SETTINGS_MODULE": "tests.tracing.metrics_settings"}
    start("shell", "-c", code, **site).wait_for('"name": "send default"')


def test_settings__without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert conf.parse({"OPENTELEMETRY": True}).problems == (
        'WAGTAIL_TASKS["OPENTELEMETRY"] needs a library that is not installed; '
        'install it with "pip install wagtail-async-hooks[opentelemetry]".',
    )
