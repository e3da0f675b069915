"""Tests of the metrics for Prometheus: their numbers are the ledger's, whoever counts them."""

from __future__ import annotations

import datetime
import os
import re
import signal
import socket
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import RequestFactory

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import Snooze, background, conf, ledger, signals
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State, TaskInfo

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from wagtail_async_hooks.monitoring import depths, overview, prometheus

Samples = dict[tuple[str, ...], float]
"""Numbers by the name of a metric and the values of its labels, in the order of their names."""

ADD, FAIL, FAIL_TWICE, TRACE, WAIT_FOR = (
    f"tests.work.tasks.{name}" for name in ("add", "fail", "fail_twice", "trace", "wait_for")
)


def parsed(text: str) -> Samples:
    """Return what a scrape says."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("wagtail_tasks") and "le" not in sample.labels
    }


def scraped(rf: RequestFactory) -> Samples:
    """Return what the view says."""
    return parsed(prometheus.metrics(rf.get("/metrics")).content.decode())


def in_ledger() -> Counter[tuple[str, str]]:
    """Return how many tasks there are by name and state."""
    return Counter(BackgroundTask.objects.values_list("name", "state"))


def run() -> None:
    """Run what waits."""
    while (task := background.next()) is not None:
        background.execute(task)


class Since:
    """What has been counted since it was made."""

    def __init__(self, rf: RequestFactory) -> None:
        self._rf = rf
        self._before = scraped(rf)

    def __call__(self, metric: str, *labels: str) -> float:
        key = (f"wagtail_tasks_{metric}", *labels)
        return scraped(self._rf).get(key, 0.0) - self._before.get(key, 0.0)

    def all(self, metric: str) -> Samples:
        """Return what of a metric is other than before, without its name."""
        name = f"wagtail_tasks_{metric}"
        found = {
            labels: value - self._before.get((name, *labels), 0.0)
            for (each, *rest), value in scraped(self._rf).items()
            if each == name and (labels := tuple(rest)) is not None
        }
        return {labels: value for labels, value in found.items() if value}


@pytest.fixture
def since(committed_db: None, rf: RequestFactory) -> Iterator[Since]:
    prometheus.connect()
    yield Since(rf)
    prometheus.disconnect()


def test_counters__are_what_the_ledger_says(
    since: Since, task_of: Any, tmp_path: Path, retried_at_once: None
) -> None:
    def discard() -> None:
        raise KeyError("nothing")

    for number in range(3):
        tasks.add(number, 1)
    tasks.fail()
    tasks.fail_twice(str(tmp_path / "trace.txt"))
    task_of(discard, discard_on=KeyError)()
    merged = task_of(Merged().run, coalesce="one")
    for _ in range(4):
        merged()
    background.enqueue(tasks.trace.s(str(tmp_path / "late.txt"), 1, expires=0.001))
    cancelled = tasks.add.schedule((1, 2), delay=3600)
    control.cancel(BackgroundTask.objects.filter(task_id=cancelled.id))
    wait_until(lambda: not run_and_count_waiting(), "all have run")

    ends = {(hook, state): n for (hook, _, state), n in since.all("finished_total").items()}
    assert ends == in_ledger()
    assert {state for _, state in ends} == {"succeeded", "failed", "cancelled", "merged", "expired"}
    enqueued = {hook: n for (hook, _), n in since.all("enqueued_total").items()}
    assert enqueued == Counter(BackgroundTask.objects.values_list("name", flat=True))
    assert since("repeated_total", FAIL_TWICE, "default", "retry") == 2
    started = {hook: n for (hook, _), n in since.all("started_total").items()}
    begun = BackgroundTask.objects.filter(attempt__gt=0).exclude(state="merged")
    assert started == {**Counter(begun.values_list("name", flat=True)), FAIL_TWICE: 3}
    assert {h: n for (h, _), n in since.all("wait_seconds_count").items()} == {
        **started,
        FAIL_TWICE: 1,  # retried at once, it does not say from when on it waited
    }
    assert {h: n for (h, _), n in since.all("duration_seconds_count").items()} == started


class Merged:
    """Has a function to merge calls of."""

    def run(self) -> None:
        """Do nothing."""


def run_and_count_waiting() -> int:
    """Run what waits or is due; return how many tasks have not ended."""
    background.read_schedule()
    run()
    return sum(not State(state).is_final for _, state in in_ledger())


def test_enqueued__counts_what_commits(since: Since) -> None:
    undo(1)
    assert since("enqueued_total", ADD, "default") == 0
    with transaction.atomic():
        tasks.add(1, 2)
        undo(2)
        assert since("enqueued_total", ADD, "default") == 0
    background.enqueue_many(tasks.add.s(number, 1) for number in range(5))
    assert since("enqueued_total", ADD, "default") == 6 == BackgroundTask.objects.count()


def undo(number: int) -> None:
    """Enqueue a task in a transaction, or a savepoint, that is rolled back."""
    with suppress(RuntimeError), transaction.atomic():
        tasks.add(number, 1)
        raise RuntimeError


def test_snoozed_and_rescued__are_repetitions(since: Since, task_of: Any) -> None:
    def not_yet() -> None:
        raise Snooze(60)

    task = task_of(not_yet)
    task()
    run()
    [name] = BackgroundTask.objects.values_list("name", flat=True)
    assert since("repeated_total", name, "default", "snooze") == 1
    signals.announce(signals.rescued, "x", task=info(sender="x"), waits=True)
    signals.announce(signals.rescued, "x", task=info(sender="x"), waits=False)
    assert since("repeated_total", "x", "default", "rescue") == 1
    assert since("duration_seconds_count", "x", "default") == 0


def info(sender: str, queue: str = "default", pk: int = 0) -> TaskInfo:
    """Return what a signal tells of a task."""
    return TaskInfo(pk, "id", "tests.name", sender, "tests.function", queue, 0, 1)


def test_labels__of_hooks(since: Since) -> None:
    signals.announce(
        signals.succeeded, "after_edit_page", task=info("after_edit_page"), duration=0.5
    )
    assert since.all("finished_total") == {("after_edit_page", "default", "succeeded"): 1}


def test_labels__are_bounded(since: Since, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "_labels", prometheus._Labels())
    monkeypatch.setattr(prometheus, "MOST_LABELS", 3)
    for number in range(20):
        told = info("h", queue=f"tenant-{number}")
        signals.announce(signals.succeeded, "h", task=told, duration=0.5)
    ends = since.all("finished_total")
    assert len(ends) == 4
    assert ends["(other)", "(other)", "succeeded"] == 17
    assert sum(ends.values()) == 20


def test_wait__of_what_was_delayed_is_from_its_time_on(committed_db: None) -> None:
    tasks.add(1, 2)
    row = BackgroundTask.objects.get()
    assert depths.waited(row.pk) is None  # it has not been started
    started = row.enqueued_at.replace(microsecond=0)

    def told(**columns: Any) -> float | None:
        BackgroundTask.objects.update(started_at=started, **columns)
        return depths.waited(row.pk)

    def before(seconds: float) -> Any:
        return started - datetime.timedelta(seconds=seconds)

    assert told(enqueued_at=before(90), attempt=1) == 90
    assert told(run_at=before(30)) == 30
    assert told(run_at=before(-5)) == 0  # by a clock that was put back
    assert told(run_at=before(10), attempt=2) == 10  # of a retry
    assert told(run_at=None) == 90  # it was merged with an older one
    row.attempts.create(number=1, ended_at=started)
    assert told() is None  # rescued, or run again by hand
    BackgroundTask.objects.all().delete()
    assert depths.waited(row.pk) is None


def test_ledger__depths_and_ages(
    committed_db: None, rf: RequestFactory, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"mail": {}}}
    for _ in range(3):
        tasks.add(1, 2)
    tasks.fail()
    run_one = background.next()
    assert run_one is not None
    tasks.add.schedule((1, 2), delay=3600)
    tasks.add.schedule((1, 2), delay=3600)
    BackgroundTask.objects.filter(state="waiting").update(enqueued_at=hours_ago(2))
    BackgroundTask.objects.filter(state="running").update(started_at=hours_ago(1))
    last = BackgroundTask.objects.filter(state="scheduled").latest("pk")
    BackgroundTask.objects.filter(pk=last.pk).update(run_at=hours_ago(3))

    found = scraped(rf)

    depth, oldest = "wagtail_tasks_depth", "wagtail_tasks_oldest_seconds"
    of_site = ("default", "mail")  # other tests have tasks with other queues
    assert {k[1:]: v for k, v in found.items() if k[0] == depth and k[1] in of_site} == {
        ("default", "waiting"): 3,
        ("default", "scheduled"): 2,
        ("default", "running"): 1,
        ("default", "failed"): 0,
        **{("mail", state): 0 for state in ("waiting", "scheduled", "running", "failed")},
    }
    ages = {k[1:]: v for k, v in found.items() if k[0] == oldest}
    assert ages["default", "waiting"] == pytest.approx(7200, abs=600)
    assert ages["default", "running"] == pytest.approx(3600, abs=600)
    assert ages["default", "scheduled"] == pytest.approx(10800, abs=600)
    assert ages["mail", "waiting"] == 0
    assert ("default", "failed") not in ages
    background.execute(run_one)
    run()
    assert scraped(rf)[depth, "default", "failed"] == 1

    at_least = "wagtail_tasks_depth_at_least"
    assert {value for key, value in found.items() if key[0] == at_least} == {0}
    monkeypatch.setattr("wagtail_async_hooks.ledger.queues.MANY", 1)
    monkeypatch.setattr(overview, "MANY", 2)
    for _ in range(3):
        tasks.add(1, 2)
    found = scraped(rf)
    assert (found[depth, "default", "waiting"], found[at_least, "default", "waiting"]) == (1, 1)
    assert (found[depth, "default", "scheduled"], found[at_least, "mail", "scheduled"]) == (2, 1)
    assert (found[depth, "default", "failed"], found[at_least, "default", "failed"]) == (1, 0)


def hours_ago(hours: int) -> Any:
    """Return a time by the database's clock."""
    return ledger.clock() - datetime.timedelta(hours=hours)


def test_ledger__workers_and_threads(committed_db: None, rf: RequestFactory) -> None:
    for queues, threads, hours in (("", 2, 0), ("mail", 3, 0), ("all but mail", 4, 0), ("", 9, 1)):
        Worker.objects.create(
            host="a",
            pid=1,
            threads=threads,
            release="1",
            queues=queues,
            started_at=hours_ago(2),
            heartbeat_at=hours_ago(hours),
        )
    tasks.add(1, 2)
    BackgroundTask.objects.update(queue="mail")

    found = scraped(rf)

    assert found["wagtail_tasks_workers",] == 3
    assert found["wagtail_tasks_threads", "default"] == 6
    assert found["wagtail_tasks_threads", "mail"] == 5


def test_ledger__in_a_registry_of_the_sites_own(committed_db: None) -> None:
    registry = CollectorRegistry()
    registry.register(prometheus.LedgerCollector())  # which reads nothing yet
    tasks.add(1, 2)
    assert (
        parsed(generate_latest(registry).decode())["wagtail_tasks_depth", "default", "waiting"] == 1
    )


def test_view__answers_get_and_is_not_cached(committed_db: None, rf: RequestFactory) -> None:
    answer = prometheus.metrics(rf.get("/metrics"))
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in answer["Cache-Control"]
    assert prometheus.metrics(rf.post("/metrics")).status_code == 405


# Settings and options -----------------------------------------------------------------------


def test_settings__without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for key, given in (
        ('["PROMETHEUS"]', {"PROMETHEUS": True}),
        ('["WORKER"]["metrics"]', {"WORKER": {"metrics": "127.0.0.1:9464"}}),
    ):
        settings = conf.parse(given)
        assert not settings.prometheus
        assert settings.worker.metrics == ""
        assert settings.problems == (
            f"WAGTAIL_TASKS{key} needs a library that is not installed; "
            'install it with "pip install wagtail-async-hooks[prometheus]".',
        )
    assert conf.parse({"PROMETHEUS": False, "WORKER": {"metrics": ""}}).problems == ()


@pytest.mark.parametrize(
    "address", ["9464", 9464, ":9464", "a:b", "a:0", "a:65536", "a b:80", "a:", None, "a:-1", "a:²"]
)
def test_settings__wrong_address(address: Any) -> None:
    [problem] = conf.parse({"WORKER": {"metrics": address}}).problems
    assert problem == (
        'WAGTAIL_TASKS["WORKER"]["metrics"] should be an address and a port, such as '
        f'"127.0.0.1:9464", but is {address!r}.'
    )


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "[::1]:80", "::1:80", "localhost:65535"])
def test_settings__address(address: str) -> None:
    assert conf.parse({"WORKER": {"metrics": address}}).worker.metrics == address


def test_worker__wrong_address() -> None:
    with pytest.raises(CommandError, match=r'such as "127.0.0.1:9464", but is .nowhere.'):
        call_command("wagtail_worker", "--metrics", "nowhere")


def test_worker__without_the_setting(committed_db: None) -> None:
    with pytest.raises(CommandError, match=r'set WAGTAIL_TASKS\["PROMETHEUS"\] to True'):
        call_command("wagtail_worker", "--metrics", "127.0.0.1:9464")


@pytest.mark.parametrize(
    ("directory", "told"),
    [(None, "The metrics of 2 processes cannot"), ("/nonexistent", "/nonexistent, which is no f")],
)
def test_worker__of_several_processes_needs_a_folder(
    committed_db: None,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    directory: str | None,
    told: str,
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "PROMETHEUS": True}
    if directory is not None:
        monkeypatch.setenv(prometheus.DIRECTORY, directory)
    with pytest.raises(CommandError, match=told):
        call_command("wagtail_worker", "--processes", "2", "--metrics", "127.0.0.1:9464")


# Real processes -----------------------------------------------------------------------------


def free_address() -> str:
    """Return an address on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def get(address: str) -> Samples:
    """Return what a server says; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            return parsed(answer.read().decode())
    except OSError:
        return {}


SITE = {"DJANGO_SETTINGS_MODULE": "tests.tracing.metrics_settings"}


@pytest.mark.slow
def test_processes__count_together(
    start: Callable[..., Process], tmp_path: Path, trace_file: Path
) -> None:
    site = {**SITE, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    web, port = free_address(), free_address()
    start("runserver", "--noreload", web, **site)
    worker = start("wagtail_worker", "--processes", "2", "--metrics", port, **site)
    gate = tmp_path / "gate"
    code = (
        "from tests.work.tasks import *\n"
        f"[trace({str(trace_file)!r}, n) for n in range(30)]; [fail() for n in range(5)]\n"
        f"[wait_for({str(trace_file)!r}, {str(gate)!r}) for n in range(6)]"
    )
    assert start("shell", "-c", code, **site).wait() == 0
    wait_until(lambda: BackgroundTask.objects.filter(state="running").count() == 4, "four run")

    wait_until(lambda: get(web).get(finished(FAIL, "failed")) == 5, "all that failed is counted")
    during = get(web)
    assert ledger_of(during) == states() == {"running": 4, "waiting": 2, "failed": 5}
    assert {key[1]: n for key, n in during.items() if key[0].endswith("enqueued_total")} == {
        TRACE: 30,
        FAIL: 5,
        WAIT_FOR: 6,
    }
    assert during["wagtail_tasks_started_total", WAIT_FOR, "default"] == 4
    assert finished(WAIT_FOR, "succeeded") not in during
    assert during["wagtail_tasks_workers",] == 2
    assert during["wagtail_tasks_threads", "default"] == 4

    [match] = re.findall(r"Worker (\d+) starts", worker.said())
    children = set(Worker.objects.values_list("pid", flat=True))
    assert int(match) not in children
    os.kill(min(children), signal.SIGKILL)  # what it counted stays
    gate.touch()
    wait_until(lambda: states() == {"failed": 5}, "all tasks have ended")
    wait_until(lambda: get(port).get(finished(WAIT_FOR, "succeeded")) == 6, "all ends are counted")
    after = get(port)
    assert after[finished(TRACE, "succeeded")] == 30
    assert after[finished(FAIL, "failed")] == 5
    assert after["wagtail_tasks_repeated_total", WAIT_FOR, "default", "rescue"] == 2
    assert ("wagtail_tasks_workers",) not in after


def finished(name: str, state: str) -> tuple[str, ...]:
    """Return the key of how many tasks of a function have ended in a state."""
    return "wagtail_tasks_finished_total", name, "default", state


def states() -> dict[str, int]:
    """Return how many tasks are in the states that metrics have."""
    found = Counter(BackgroundTask.objects.values_list("state", flat=True))
    return {state: found[state] for state in depths.STATES if found[state]}


def ledger_of(samples: Samples) -> dict[str, int]:
    """Return the same, of what was scraped."""
    found = Counter[str]()
    for (name, *labels), number in samples.items():
        if name == "wagtail_tasks_depth":
            found[labels[1]] += int(number)
    return {state: found[state] for state in depths.STATES if found[state]}


@pytest.mark.slow
def test_worker__shows_its_own_and_waits_for_a_port(start: Callable[..., Process]) -> None:
    port = free_address()
    first = start("wagtail_worker", "--metrics", port, **SITE)
    first.wait_for("Metrics are shown at")
    tasks.add(1, 2)
    wait_until(lambda: get(port).get(finished(ADD, "succeeded")) == 1, "its end is counted")
    second = start("wagtail_worker", "--metrics", port, **SITE)
    second.wait_for("Metrics cannot be shown at 127.0.0.1.*trying again.*in use")
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    second.wait_for("Metrics are shown at")
    assert finished(ADD, "succeeded") not in get(port)
