"""Tests of the benchmarks, and guards of what they measure that do not depend on the machine."""

from __future__ import annotations

import ast
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from wagtail.models import Page

from benchmarks import __main__ as command
from benchmarks import charts, contenders, filling, measures, proc, rounds, tables, work
from benchmarks.baselines import baseline_of
from benchmarks.cases import Case, Run
from benchmarks.lab import Lab
from benchmarks.measures import killed
from benchmarks.results import Figure, Results
from benchmarks.workers import Workers
from tests.processes import REPOSITORY, wait_until
from tests.site.blog.models import BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.types import State

BACKEND = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"


# Guards -------------------------------------------------------------------------------------


def test_publish__costs_four_queries_for_nine_tasks(
    client: Client, editor: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKEND}}
    home = Page.get_first_root_node().add_child(instance=HomePage(title="Seen", slug="seen"))
    page = home.add_child(instance=BlogPage(title="Tides", slug="tides", introduction="High"))
    client.force_login(editor)

    def publish() -> int:
        url = reverse("wagtailadmin_pages:edit", args=[page.pk])
        with CaptureQueriesContext(connection) as queries:
            response = client.post(url, form_data(page, publish=True))
        assert response.status_code == 302
        return len(queries)

    publish()  # what is looked up once in a process
    known = BackgroundTask.objects.count()
    ours = publish()
    tasks = BackgroundTask.objects.count() - known
    monkeypatch.setattr(enqueue, "make_and_enqueue", lambda *arguments: None)
    publish()

    # Wagtail's two index tasks, twice; four hooks of after_publish_page, one of after_edit_page.
    # What is enqueued in a row is one INSERT.
    assert tasks == 9
    assert ours == publish() + 4


# Results ------------------------------------------------------------------------------------


def results_of(**times: list[list[float]]) -> Results:
    """Return results of a measure, by contender and round."""
    results = Results(quick=True, machine={"cores": "2"})
    for contender, measured in times.items():
        case = Case("publish", contender, f"the {contender}", "sqlite")
        results.runs += [
            Run(case, n, {"time": values, "cpu": [1.0], "queries": [7.0]})
            for n, values in enumerate(measured)
        ]
    return results


def test_figure__median_of_all_and_spread_of_the_rounds() -> None:
    assert Figure.of([[1, 2, 9], [3, 4, 5], []]) == Figure(3.5, 2, 4)


def test_results__are_kept(tmp_path: Path) -> None:
    results = results_of(ours=[[1.0, 2.0]], dropped=[[1.0]])

    results.save(tmp_path / "results.json")

    assert Results.load_from(tmp_path / "results.json") == results


def test_table__compares_with_the_baseline_of_the_same_database() -> None:
    results = results_of(ours=[[3.0], [3.0]], dropped=[[2.0], [4.0], [2.0]])
    other = Case("publish", "dropped", "another", "postgres")
    results.runs.append(Run(other, 0, {"time": [1.0], "cpu": [1.0], "queries": [7.0]}))

    table = tables.table(results, "publish", command.module_of("publish"))

    assert table.splitlines()[2:] == [
        "| SQLite | the ours | 3.0 | 1.0 | 7 | – | 1.50 |",
        "| SQLite | the dropped | 2.0 (2.0–4.0) | 1.0 | 7 | – | – |",
        "| PostgreSQL | another | 1.0 | 1.0 | 7 | – | – |",
    ]


def test_table__compares_with_what_the_measure_says() -> None:
    results = Results(quick=True, machine={})
    cases = [
        Case("claim", "ours", f"{rows} rows", "sqlite", options={"waiting": rows, "ended": 0})
        for rows in (100, 10)
    ]
    for case, microseconds in zip(cases, (30.0, 20.0), strict=True):
        results.runs.append(Run(case, 0, {"claim": [microseconds], "sweep": [1.0]}))

    table = tables.table(results, "claim", command.module_of("claim"))

    assert table.splitlines()[2:] == [
        "| SQLite | 100 rows | 30 | 1.0 | 1.50 |",
        "| SQLite | 10 rows | 20 | 1.0 | – |",
    ]


def test_baseline__the_same_contender_without_another_transaction() -> None:
    module = command.module_of("snapshot")
    cases = module.cases(quick=True)
    alone = [case for case in cases if not case.options["held"]]
    beside = [case for case in cases if case.options["held"]]

    assert [baseline_of(case, cases, module) for case in beside] == alone
    assert [baseline_of(case, cases, module) for case in alone] == [None] * len(alone)
    assert alone


def test_baseline__one_thread_of_the_same_storage() -> None:
    module = command.module_of("matrix")
    cases = module.cases(quick=False)

    for case in cases:
        found = baseline_of(case, cases, module) or case
        assert (found.database, found.redis) == (case.database, case.redis)
        assert (found.options["threads"], found.options["processes"]) == (1, 1)


# What they are made of ----------------------------------------------------------------------


@pytest.mark.django_db
def test_fill__copies_a_task_that_a_worker_can_run() -> None:
    earlier = timezone.now() - datetime.timedelta(days=2)

    filling.fill(3)
    filling.fill(2, state=State.SUCCEEDED, finished_at=earlier)

    rows = BackgroundTask.objects.all()
    waiting = rows.filter(state=State.WAITING, finished_at=None)
    assert (waiting.count(), rows.filter(finished_at=earlier).count()) == (3, 2)
    assert len(set(rows.values_list("task_id", flat=True))) == 5
    task = background.next()
    assert task is not None
    assert task.name == "ours"
    background.settle()


def test_session__its_first_process_and_what_that_has_started() -> None:
    script = "import subprocess, sys; print(1, flush=True); subprocess.run(['sleep', '60'])"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            wait_until(lambda: len(proc.session(process.pid)) == 2, "both run")
            alone = proc.memory([process.pid])
            together = proc.memory(proc.session(process.pid))
        finally:
            os.killpg(process.pid, signal.SIGKILL)

    assert 0 < alone.own < together.own < together.resident
    assert alone.own < alone.resident


def test_computed__grows_with_work_and_not_with_rest() -> None:
    begun, known = time.process_time(), proc.computed([os.getpid()])
    while time.process_time() < begun + 0.05:
        pass
    worked = proc.computed([os.getpid()]) - known
    time.sleep(0.05)
    rested = proc.computed([os.getpid()]) - known - worked

    assert worked > 0.04 > rested


def test_processes__that_have_ended_count_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert proc.memory([process.pid]) == (0, 0)
    assert proc.computed([process.pid]) == 0


# Killed workers, and growth -----------------------------------------------------------------


def test_killed__counts_what_was_begun_and_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SITE_DATA", str(tmp_path))
    monkeypatch.setattr(work, "_TELLS_BEGINS", True)
    for number in (1.0, 2.0, 2.0):
        work.do(0.0, number)
    monkeypatch.setattr(work, "leave", lambda begun, sent: None)  # as if it were killed meanwhile
    for number in (1.0, 3.0, 4.0):
        work.do(0.0, number)

    told = killed._told([1.0, 2.0, 3.0, 4.0, 5.0], later=1)

    assert told == {"done": [2.0], "lost": [2.0], "later": [1.0], "again": [2.0], "twice": [1.0]}


class TakesAllAtOnce:
    """A contender whose first worker takes all tasks out of the store.

    :param then: the commands of the next one, in Python.
    :param patience: is called before that one starts.
    """

    def __init__(self, then: str, patience: Callable[[], None]) -> None:
        self._scripts = ["from benchmarks import work; work.do(60.0, 1.0)", then]
        self._patience = patience

    def workers(self, number: int) -> list[list[str]]:
        """Return the command of the next worker."""
        script = self._scripts.pop(0)
        if not self._scripts:
            self._patience()
        return [[sys.executable, "-c", script]]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have tasks leave traces in a folder of their own, also when they begin; return it."""
    monkeypatch.setenv("SITE_DATA", str(tmp_path))
    monkeypatch.setenv(work.TELLS_BEGINS, "1")
    return tmp_path


def test_killed__nothing_left_after_the_first_kill(
    monkeypatch: pytest.MonkeyPatch, traced: Path
) -> None:
    begun = time.monotonic()
    impatient = partial(monkeypatch.setattr, killed, "_PATIENCE", 0.1)
    rests = TakesAllAtOnce("import time; time.sleep(60)", impatient)
    last = killed._kill_several_times(rests, 2, tasks=1, forgets=True)
    assert begun < last < time.monotonic()
    assert work.begins() == [1.0]


def test_killed__nothing_begins_of_what_should_come_back(
    monkeypatch: pytest.MonkeyPatch, traced: Path
) -> None:
    """Or a worker that stalls would be killed less often, and lose less."""
    impatient = partial(monkeypatch.setattr, killed, "_PATIENCE", 0.1)
    stalls = TakesAllAtOnce("import time; time.sleep(60)", impatient)
    with pytest.raises(RuntimeError, match="Not so many as 1 tasks have begun"):
        killed._kill_several_times(stalls, 2, tasks=1, forgets=False)


def test_killed__a_worker_that_ends_by_itself(traced: Path) -> None:
    ends = TakesAllAtOnce("raise SystemExit('no such table')", lambda: None)
    with pytest.raises(RuntimeError, match="no such table"):
        killed._kill_several_times(ends, 2, tasks=1, forgets=True)


def test_kill__ends_what_a_worker_has_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where that is in a group of its own, as the processes of RQ are."""
    monkeypatch.setenv("SITE_DATA", str(tmp_path))
    script = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork() or os.setpgrp()\n"
        "time.sleep(60)"
    )
    workers = Workers([[sys.executable, "-c", script]])
    wait_until(lambda: len(workers.processes()) == 2, "both run")
    [leader, started] = workers.processes()
    wait_until(lambda: os.getpgid(leader) != os.getpgid(started), "it has its own group")

    workers.kill()

    wait_until(lambda: not proc.session(leader), "both have ended")


def test_cases__leave_out_who_cannot_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    who = "apscheduler_itself"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # all are installed

    assert who in {case.contender for case in contenders.cases("drain", {})}
    assert who not in {case.contender for case in contenders.cases("pickup", {})}


def test_at_most__what_two_workers_do_in_time() -> None:
    slow, quick = (Case("drain", who, who) for who in ("django_db_queue_itself", "ours"))

    assert (contenders.at_most(slow, 5000), contenders.at_most(slow, 10)) == (40, 10)
    assert contenders.at_most(quick, 5000) == 5000


def test_logged__asks_for_the_log_of_those_that_have_one() -> None:
    names = {who.module for who in contenders.ALL if "logged" not in who.lacks}
    assert {"ours", "huey_itself", "rq_itself", "django_q2_itself"} <= names
    for name in sorted(names):
        source = (REPOSITORY / "benchmarks" / "contenders" / f"{name}.py").read_text()
        [workers] = [
            node
            for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and node.name == "workers"
        ]
        assert "logs" in {argument.arg for argument in workers.args.kwonlyargs}, name


def test_growth__has_a_table_of_its_own_and_no_chart() -> None:
    module = command.module_of("growth")
    [case] = module.cases(quick=True)
    results = Results(quick=True, machine={})
    figures = {name: [float(name[-1]) if name[-1].isdigit() else 1.0] for name in module.METRICS}
    results.runs.append(Run(case, 0, figures))

    table = tables.table(results, "growth", module)

    assert "| claim, p99, ms | 1.00 | 2.00 | 3.00 |" in table.splitlines()
    assert charts.charts(results, "growth", module) == []


# Rounds -------------------------------------------------------------------------------------


class NoLab:
    """Has no servers, and knows nothing of versions."""

    def __init__(self, cases: Any = ()) -> None:
        pass

    def __enter__(self) -> NoLab:
        return self

    def __exit__(self, *how: object) -> None:
        pass

    def versions(self) -> dict[str, str]:
        return {}


CASES = [Case("publish", contender, contender, "sqlite") for contender in ("a", "b", "c")]


def runs_last(monkeypatch: pytest.MonkeyPatch, wait: Callable[[], Any]) -> None:
    """Have runs measure nothing, and last for as long as a function takes."""

    def run(lab: Any, case: Case) -> dict[str, list[float]]:
        wait()
        return {"time": [1.0], "cpu": [1.0], "queries": [7.0]}

    monkeypatch.setattr(rounds, "run", run)


def test_rounds__each_begins_with_another_case(monkeypatch: pytest.MonkeyPatch) -> None:
    runs_last(monkeypatch, lambda: None)
    told: list[Run] = []

    rounds.in_turns(NoLab(), CASES, 2, told.append)  # type: ignore[arg-type]

    assert "".join(run.case.contender for run in told) == "abcbca"
    assert [run.round for run in told] == [0, 0, 0, 1, 1, 1]


def test_rounds__the_first_has_those_that_are_measured_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs_last(monkeypatch, lambda: None)
    told: list[Run] = []
    first, second, third = CASES

    rounds.in_turns(NoLab(), [first, replace(second, once=True), third], 3, told.append)  # type: ignore[arg-type]

    assert "".join(run.case.contender for run in told) == "abcca" + "ca"


def test_rounds__what_rests_runs_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(len(CASES), timeout=60)
    runs_last(monkeypatch, together.wait)
    told: list[Run] = []

    begun = time.monotonic()
    rounds.in_turns(NoLab(), CASES, 1, told.append, apart=0.1)  # type: ignore[arg-type]

    assert time.monotonic() - begun >= 0.2  # the last one has begun so much later than the first
    assert [run.case for run in told] == CASES


@pytest.mark.parametrize("apart", [0.0, 0.01])
def test_rounds__one_that_fails_keeps_no_other_from_being_measured(
    monkeypatch: pytest.MonkeyPatch, apart: float
) -> None:
    def run(lab: Any, case: Case) -> dict[str, list[float]]:
        if case.contender == "b":
            raise rounds.RunFailed("it does not start")
        return {"time": [1.0]}

    monkeypatch.setattr(rounds, "run", run)
    told: list[Run] = []

    failures = rounds.in_turns(NoLab(), CASES, 2, told.append, apart=apart)  # type: ignore[arg-type]

    assert [str(failure) for failure in failures] == ["it does not start"] * 2
    assert sorted(run.case.contender for run in told) == ["a", "a", "c", "c"]


def test_command__keeps_what_was_measured_before_something_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(lab: Any, case: Case) -> dict[str, list[float]]:
        if case.contender == "b":
            raise rounds.RunFailed("it does not start")
        return {"time": [1.0], "cpu": [1.0], "queries": [7.0]}

    monkeypatch.setattr(rounds, "run", run)
    monkeypatch.setattr(command, "_cases", lambda name, options: CASES)
    monkeypatch.setattr(command, "Lab", NoLab)
    file = tmp_path / "kept.json"
    monkeypatch.setattr("sys.argv", ["benchmarks", "publish", "--write", "--output", str(file)])

    assert command.main() == 1

    assert {run.case.contender for run in Results.load_from(file).runs} == {"a", "c"}
    said = capsys.readouterr()
    assert "it does not start" in said.err
    assert "--from" in said.out
    assert "The page is" not in said.out


def test_measure__keeps_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    runs_last(monkeypatch, lambda: time.sleep(0.02))
    results = Results(quick=True, machine={})

    command.measure(NoLab(), {"publish": CASES}, results, rounds=1)  # type: ignore[arg-type]

    assert results.seconds["publish"] >= 0.06
    assert "publish 0 s" in command.told_times(results)


def test_quick__has_every_measure_and_every_contender() -> None:
    quick = [case for name in measures.ALL for case in command.module_of(name).cases(quick=True)]
    known = {(case.contender, case.database, case.redis) for case in quick}

    assert {case.measure for case in quick} == set(measures.ALL)
    assert known >= {
        (case.contender, case.database, case.redis) for case in contenders.cases("", {})
    }


# Each measure, in small ---------------------------------------------------------------------


def in_small(name: str, database: str) -> Case | None:
    """Return the smallest case of ours that a measure has on a database."""
    module = command.module_of(name)
    ours = ("ours", "ours_without_hooks")
    found = [c for c in module.cases(quick=True) if c.contender in ours and c.database == database]
    if not found:
        return None
    case = min(found, key=lambda each: ours.index(each.contender))
    return replace(case, options={**case.options, **module.SMALL})


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the benchmarks make their own databases")
def test_measures__run(committed_db: None, tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(tmp_path / "migrated.sqlite3")])
    cases = [case for name in measures.ALL if (case := in_small(name, "sqlite")) is not None]

    # Side by side: that they work is looked at here, not how fast.
    with Lab(cases, tmp_path / "migrated.sqlite3", 1) as lab, ThreadPoolExecutor(4) as pool:
        told = list(pool.map(partial(rounds.run, lab), cases))

    for case, values in zip(cases, told, strict=True):
        metrics = command.module_of(case.measure).METRICS
        assert values.keys() == metrics.keys()
        for metric, measured in values.items():
            least = min(measured)
            assert least > 0 or (metrics[metric].may_be_zero and least == 0), (
                f"{case.measure}: {metric}"
            )


@pytest.mark.slow
@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="it needs PostgreSQL, and a database with the tables"
)
@pytest.mark.parametrize("name", [name for name in measures.ALL if not in_small(name, "sqlite")])
def test_measures__run_that_are_of_postgresql(
    name: str, committed_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the tests' own database: to start a server and to migrate takes long."""
    case = in_small(name, "postgres")
    assert case is not None
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    monkeypatch.setenv("SITE_DATABASE_NAME", str(connection.settings_dict["NAME"]))
    monkeypatch.setenv("SITE_DATA", str(tmp_path))
    monkeypatch.setenv("BENCH_CONTENDER", case.contender)
    monkeypatch.setenv("BENCH_REDIS", "")

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", case.to_json()],
        cwd=REPOSITORY,
        check=False,
        text=True,
        capture_output=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    metrics = command.module_of(name).METRICS
    assert values.keys() == metrics.keys()
    for metric, measured in values.items():
        assert min(measured) > 0 or metrics[metric].may_be_zero, metric
