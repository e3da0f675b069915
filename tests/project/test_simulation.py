"""Tests of the simulated site: against theory, and of what it tells."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from wagtail.models import Page

from benchmarks.cases import Case, Run
from benchmarks.measures import statements
from benchmarks.results import Results
from benchmarks.simulation import __main__ as command
from benchmarks.simulation import costs, report
from benchmarks.simulation.assumptions import DAY, DEEDS, KINDS
from benchmarks.simulation.clock import Clock, Station
from benchmarks.simulation.site import IDLE_INTERVAL, Crew, Database, Deed, Kind, Load, Site
from tests.site.blog.models import BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.storage.watchers.sqlite import TOLD_INTERVAL

BACKEND = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"

FREE = Database("free", 0.0, 0.0, 0.0, at_once=1000, wakes_each_process=False)
"""A ledger that costs nothing, and rings for each task."""


def load_of(rate: float, seconds: float, hour: float, tasks: int = 1) -> Load:
    """Return a load of so many deeds per second, whose tasks take so long on average."""
    deeds = (Deed("do", rate * 3600, tasks),)
    return Load(1, deeds, (Kind("all", 1.0, seconds),), (1.0,), hour)


# Against theory -----------------------------------------------------------------------------


def waiting_of_mmc(rate: float, seconds: float, servers: int) -> float:
    """Return the mean wait of a queue M/M/c, by Erlang's formula C."""
    offered = rate * seconds
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    busy = offered / servers
    waits = blocked / (1 - busy + busy * blocked)
    return waits * seconds / (servers * (1 - busy))


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.6), (4, 0.8)])
def test_site__threads_are_a_queue_m_m_c(servers: int, busy: float) -> None:
    rate = busy * servers / 0.1
    told = Site(FREE, load_of(rate, 0.1, hour=20_000 / rate), Crew(servers, 1)).run()

    expected = waiting_of_mmc(rate, 0.1, servers)
    assert statistics.fmean(told.waits) == pytest.approx(expected, rel=0.1)
    assert told.workers == pytest.approx(busy, rel=0.05)
    assert told.rate == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize("busy", [0.5, 0.8])
def test_station__is_a_queue_m_d_1(busy: float) -> None:
    clock, seconds, waits = Clock(), 0.01, []
    station = Station(clock, servers=1)
    rate, chance = busy / seconds, random.Random(7)

    def come() -> None:
        came = clock.now

        def serve() -> tuple[float, object]:
            waits.append(clock.now - came)
            return seconds, lambda: None

        station.ask(serve)  # type: ignore[arg-type]
        clock.after(chance.expovariate(rate), come)

    clock.after(0.0, come)
    clock.run_until(30_000 / rate)

    expected = busy * seconds / (2 * (1 - busy))
    assert statistics.fmean(waits) == pytest.approx(expected, rel=0.1)
    assert station.worked / clock.now == pytest.approx(busy, rel=0.02)


def test_site__editors_wait_for_the_ledger_as_in_a_queue_m_d_1() -> None:
    database = replace(FREE, insert=0.01, at_once=1)
    told = Site(database, load_of(80.0, 0.0, hour=250.0), Crew(1, 1)).run()

    expected = 0.01 + 0.8 * 0.01 / (2 * 0.2)
    assert statistics.fmean(told.recorded) == pytest.approx(expected, rel=0.1)
    assert told.busiest == pytest.approx(0.8, rel=0.05)


# What the model has in it -------------------------------------------------------------------


def test_site__the_same_seed_gives_the_same_day() -> None:
    load = load_of(50.0, 0.01, hour=5.0)

    first, same, other = (Site(FREE, load, Crew(2, 2), seed).run() for seed in (1, 1, 2))

    assert first == same != other


def test_site__hours_differ_in_what_is_done() -> None:
    load = replace(load_of(100.0, 0.0, hour=50.0), day=(0.0, 1.0, 0.5))
    told = Site(FREE, load, Crew(1, 1)).run()

    assert len(told.waits) == pytest.approx(100 * 50 * 1.5, rel=0.05)
    assert told.rate == pytest.approx(100, rel=0.05)


def test_site__a_task_waits_for_the_disk_of_its_claim_only() -> None:
    database = replace(FREE, insert=0.001, claim=0.002, flush=0.1)
    told = Site(database, load_of(1.0, 0.0, hour=20.0), Crew(4, 4)).run()

    assert statistics.median(told.recorded) == pytest.approx(0.101)
    assert min(told.waits) == pytest.approx(0.102)


def test_site__idle_threads_look_once_a_second() -> None:
    told = Site(FREE, load_of(0.0, 0.0, hour=30.0), Crew(5, 4)).run()

    assert told.looks == pytest.approx(20 / IDLE_INTERVAL, rel=0.05)


@pytest.mark.parametrize(("wakes_each_process", "woken"), [(True, 50), (False, 0)])
def test_site__a_notification_wakes_a_thread_of_each_process_and_a_bell_one(
    wakes_each_process: bool, woken: int
) -> None:
    # A free ledger: whoever is woken first has the task and wakes one more thread in vain, and all
    # are idle again at once.
    database = replace(FREE, wakes_each_process=wakes_each_process)
    told = Site(database, load_of(5.0, 0.0, hour=20.0), Crew(50, 2)).run()

    in_vain, of_idle_threads = told.looks * 20, 100 * 20
    expected = len(told.recorded) * woken
    assert 0.95 * expected <= in_vain <= expected + 1.05 * of_idle_threads


def test_site__a_watched_file_is_seen_within_the_interval() -> None:
    database = replace(FREE, wakes_each_process=True, watched=0.01)
    told = Site(database, load_of(2.0, 0.0, hour=200.0), Crew(1, 1)).run()

    assert 0.004 < statistics.median(told.waits) < 0.006
    assert max(told.waits) <= 0.01 + 1e-9


# Costs --------------------------------------------------------------------------------------


def results() -> Results:
    """Return what the simulation needs, in round numbers."""
    found = Results(quick=False, machine={"cores": "2"}, begun_at="Monday")
    for database, statement, waits, time in (
        ("sqlite", statements.INSERT, True, 90.0),
        ("sqlite", statements.CLAIM, True, 100.0),
        ("sqlite", statements.LOOK, True, 40.0),
        ("postgres", statements.INSERT, False, 400.0),
        ("postgres", statements.CLAIM, True, 1500.0),
        ("postgres", statements.CLAIM, False, 500.0),
        ("postgres", statements.LOOK, True, 300.0),
    ):
        options = {"statement": statement, "waits": waits}
        case = Case("statements", "ours", statement, database, options=options)
        found.runs.append(Run(case, 0, {"time": [time], "cpu": [200.0]}))
    for seconds, rate in ((0.0, 2500.0), (0.02, 90.0)):
        case = Case("drain", "ours", "ours", "sqlite", options={"seconds": seconds})
        found.runs.append(Run(case, 0, {"rate": [rate]}))
    return found


def test_databases__from_results() -> None:
    known = costs.databases(results())

    sqlite, postgres, redis = known["SQLite"], known["PostgreSQL"], known["Redis over PostgreSQL"]
    assert (sqlite.insert, sqlite.claim, sqlite.look) == pytest.approx((9e-5, 1e-4, 4e-5))
    assert (sqlite.at_once, sqlite.flush, sqlite.watched) == (1, 0.0, TOLD_INTERVAL)
    served = (postgres.insert, postgres.claim, postgres.look, postgres.flush)
    assert served == pytest.approx((2e-4, 3e-4, 1e-4, 1e-3))
    assert (postgres.at_once, costs.databases(results(), 8)["PostgreSQL"].at_once) == (2, 8)
    assert redis == replace(postgres, name=redis.name, wakes_each_process=False)
    assert costs.overhead(results()) == pytest.approx(3e-4)


def test_databases__not_measured() -> None:
    with pytest.raises(costs.NotMeasured, match="no time of statements"):
        costs.databases(Results(quick=False, machine={"cores": "2"}))


# The report ---------------------------------------------------------------------------------


def test_saturation__is_where_the_threads_are_full() -> None:
    load = load_of(1.0, 0.1, hour=100.0)

    editors = report.saturation(FREE, load, Crew(1, 4), seed=1)

    assert 34 <= editors <= 42  # four threads get 40 tasks per second done


def test_saturation__is_where_the_ledger_is_full() -> None:
    database = replace(FREE, insert=0.05, at_once=1)

    editors = report.saturation(database, load_of(1.0, 0.0, hour=200.0), Crew(1, 4), seed=1)

    assert 15 <= editors <= 21  # it takes 20 tasks per second


def test_saturation__nothing_can_be_carried() -> None:
    with pytest.raises(ValueError, match="single editor"):
        report.saturation(replace(FREE, insert=9.0, at_once=1), load_of(1, 0, 50.0), Crew(1, 1), 1)


def test_drain__is_what_threads_get_done() -> None:
    database = replace(FREE, claim=0.002)

    assert report.drain(database, Crew(1, 2, 0.003), 0.02, 1) == pytest.approx(80, rel=0.1)


def test_compared__without_a_measure() -> None:
    assert report.compared(results(), [replace(FREE, name="PostgreSQL")], 0.0) == []


def test_put__between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")

    report.put("new", page)

    assert page.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match=r"page\.md has no lines"):
        report.put("new", page)


def test_main__writes_into_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, kept = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text(f"{report.BEGIN}\n{report.END}\n")
    results().save(kept)
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command, "REPOSITORY", tmp_path)
    options = ["--editors", "100", "--workers", "2", "--hour", "0.5", "--publishes", "59"]
    options.append("--write")
    monkeypatch.setattr("sys.argv", ["simulation", "--results", str(kept), *options])

    assert command.main() == 0

    text = page.read_text()
    assert "With the figures of the run of Monday:" in text
    assert "| 100 | 2 × 4 | Redis over PostgreSQL |" in text
    assert "| tasks of 20 ms | SQLite |" in text
    assert "### A day of 59 publishes" in text
    assert text.removeprefix(f"{report.BEGIN}\n").startswith(capsys.readouterr().out[:50])


def test_page__of_the_results_is_there() -> None:
    text = command.PAGE.read_text(encoding="utf-8")

    assert (text.count(report.BEGIN), text.count(report.END)) == (1, 1)


def test_large_day__an_hour_in_each_row() -> None:
    load = replace(load_of(0.01, 0.1, hour=1.0), day=(1.0, 0.5))

    _, _, *rows = report.large_day(FREE, load, Crew(1, 1), seed=1)

    first, second = (int(row.split("|")[2]) for row in rows)
    assert first > second > 0
    assert first + second == pytest.approx(36 * 1.5, rel=0.4)


def test_grown__what_was_measured() -> None:
    measured = results()
    case = Case("growth", "ours", "ours", "postgres")
    figures = {"wal_3": [2000.0], "of_a_row_3": [300.0], "knee": [1.1]}

    assert report.grown(measured, 1_000_000) == ""
    measured.runs.append(Run(case, 0, figures))

    said = report.grown(measured, 1_000_000)
    assert "2.0 GB" in said
    assert "300 MB" in said
    assert "1.10 times" in said


def test_assumptions__tasks_are_as_many_as_the_demo_records(
    client: Client, editor: Any, settings: Any
) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKEND}}
    home = Page.get_first_root_node().add_child(instance=HomePage(title="Seen", slug="seen"))
    page = home.add_child(instance=BlogPage(title="Tides", slug="tides", introduction="High"))
    client.force_login(editor)

    def recorded(*, publish: bool) -> int:
        known = BackgroundTask.objects.count()
        url = reverse("wagtailadmin_pages:edit", args=[page.pk])
        assert client.post(url, form_data(page, publish=publish)).status_code == 302
        return BackgroundTask.objects.count() - known

    draft, published = (deed.tasks for deed in DEEDS)
    assert (recorded(publish=False), recorded(publish=True)) == (draft, published)


def test_assumptions__hold_together() -> None:
    assert sum(kind.share for kind in KINDS) == pytest.approx(1)
    assert max(DAY) == 1
    assert report.assumed(Load(1, DEEDS, KINDS, DAY, 20.0)).startswith("Each editor")
