"""Tests of the benchmarks, and guards of what they measure that do not depend on the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.models import Page

from benchmarks import __main__ as command
from benchmarks import measures, tables
from benchmarks.cases import Case, Run
from benchmarks.lab import Lab
from benchmarks.results import Figure, Results
from tests.site.blog.models import BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import recording
from wagtail_async_hooks.models import BackgroundTask

BACKEND = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"


# Guards -------------------------------------------------------------------------------------


def test_publish__costs_one_query_for_each_task(
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
    monkeypatch.setattr(recording, "record", lambda *arguments: None)
    publish()

    # Wagtail's two index tasks, twice; four hooks of after_publish_page, one of after_edit_page.
    assert tasks == 9
    assert ours == publish() + tasks


# Results ------------------------------------------------------------------------------------


def results_of(**times: list[list[float]]) -> Results:
    """Return results of a measure, by contender and round."""
    results = Results(quick=True, machine={"cores": "2"})
    for contender, rounds in times.items():
        case = Case("publish", contender, f"the {contender}", "sqlite")
        results.runs += [
            Run(case, n, {"time": values, "cpu": [1.0], "queries": [7.0]})
            for n, values in enumerate(rounds)
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
        "| SQLite | the ours | 3.0 | 1.0 | 7 | 1.50 |",
        "| SQLite | the dropped | 2.0 (2.0–4.0) | 1.0 | 7 | – |",
        "| PostgreSQL | another | 1.0 | 1.0 | 7 | – |",
    ]


# Each measure, in small ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the benchmarks make their own databases")
def test_measures__run(committed_db: None, tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(tmp_path / "migrated.sqlite3")])
    plan: dict[str, list[Case]] = {}
    for name in measures.ALL:
        module = command.module_of(name)
        ours = (case for case in module.cases(quick=True) if case.contender == "ours")
        case = next(case for case in ours if case.database == "sqlite")
        plan[name] = [replace(case, options={**case.options, **module.SMALL})]
    results = Results(quick=True, machine={})

    with Lab(
        [case for cases in plan.values() for case in cases], tmp_path / "migrated.sqlite3", 1
    ) as lab:
        command.measure(lab, plan, results, rounds=1)

    for name, [case] in plan.items():
        for metric in command.module_of(name).METRICS:
            assert results.figure(case, metric).median > 0, f"{name}: {metric}"
