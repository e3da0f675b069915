"""Tests of the page and the charts that are made of what the benchmarks have measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as command
from benchmarks import budgets, charts, hardware, kept, page, tables
from benchmarks.budgets import Budget, Verdict
from benchmarks.cases import Case, Run
from benchmarks.measures import Metric
from benchmarks.picking import Pick, difference, ratio
from benchmarks.results import Figure, Results

SVG = "{http://www.w3.org/2000/svg}"


def results_of(
    measured: Mapping[Any, dict[str, float]], *, rounds: int = 1, **attributes: Any
) -> Results:
    """Return results in which each case has measured the same in each round."""
    results = Results(
        **{"quick": False, "machine": {"cores": "2", "Python": "3.11"}, "load": [0.5], **attributes}
    )
    for number in range(rounds):
        for case, values in measured.items():
            results.runs.append(Run(case, number, {name: [v] for name, v in values.items()}))
    return results


def drained(contender: str, rate: float, **options: Any) -> dict[Case, dict[str, float]]:
    """Return a drain of a contender on SQLite."""
    options = {"seconds": 0.0, **options}
    case = _Hashable("drain", contender, f"{contender}, nothing", "sqlite", options=options)
    return {case: {"rate": rate}}


class _Hashable(Case):
    """A case that can be a key; its options are a dictionary, which cannot."""

    __hash__ = object.__hash__


def budget(key: str) -> Budget:
    """Return a budget by its key."""
    return next(each for each in budgets.ALL if each.key == key)


# Budgets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "verdict", "told"),
    [(2000.0, Verdict.MET, "2.00×"), (1990.0, Verdict.NOT_MET, "1.99×")],
)
def test_budget__limit(rate: float, verdict: Verdict, told: str) -> None:
    results = results_of(drained("ours", rate) | drained("huey_itself", 1000.0))
    limited = budget("drain_huey_sqlite")

    assert (limited.verdict(results), limited.told_figure(results)) == (verdict, told)
    assert limited.told_limit() == "≥ 2×"


def test_budget__not_measured() -> None:
    results = results_of(drained("ours", 1.0))
    limited = budget("drain_huey_sqlite")

    assert (limited.verdict(results), limited.told_figure(results)) == (Verdict.NOT_MEASURED, "–")


def test_budgets__all_can_do_without_results() -> None:
    results = results_of({})

    assert {each.verdict(results) for each in budgets.ALL} == {Verdict.NOT_MEASURED}


def test_budgets__keys_and_notes() -> None:
    keys = [each.key for each in budgets.ALL]

    assert len(set(keys)) == len(keys)
    assert set(budgets.NOTES) <= set(keys)


def test_pick__several_cases() -> None:
    results = results_of(drained("ours", 1.0) | drained("ours", 1.0, seconds=0.02))

    assert Pick("drain", "rate", database="sqlite", options={"seconds": 0.02})(results) == 1.0
    with pytest.raises(LookupError, match="ours, nothing; ours, nothing"):
        Pick("drain", "rate", database="sqlite")(results)


def test_pick__a_metric_that_was_not_measured() -> None:
    assert Pick("drain", "time", database="sqlite")(results_of(drained("ours", 1.0))) is None


def test_ratio_and_difference() -> None:
    empty = results_of({})

    assert ratio(lambda _: 6.0, lambda _: 3.0)(empty) == 2.0
    assert ratio(lambda _: 6.0, lambda _: None)(empty) is None
    assert difference(lambda _: 6.0, lambda _: 2.0)(empty) == 4.0
    assert difference(lambda _: None, lambda _: 2.0)(empty) is None


# Charts -------------------------------------------------------------------------------------


def module_of(name: str) -> Any:
    """Return the module of a measure, with texts that have to be escaped."""
    told = {"TITLE": "A < B & `C`", "EXPLAINED": "It is what it is.", "BASELINE": "ours"}
    metrics = {"rate": Metric("tasks", digits=0, less_is_better=False)}
    return SimpleNamespace(**told, METRICS=metrics)


def drawn(results: Results) -> ElementTree.Element:
    """Return the one chart of the drain, read as XML."""
    [chart] = charts.charts(results, "drain", module_of("drain"))
    return ElementTree.fromstring(charts.svg(chart))


def texts_of(image: ElementTree.Element) -> list[str]:
    """Return all that is written on a chart."""
    return [text.text or "" for text in image.iter(f"{SVG}text")]


def test_svg__is_well_formed_and_told_in_words() -> None:
    image = drawn(results_of(drained("ours", 1500.0) | drained("<other> & “x”", 500.0)))

    title, description = image.find(f"{SVG}title"), image.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert title.text == "A < B & C"
    assert "SQLite, <other> & “x”, nothing: 500" in (description.text or "")
    assert {"A < B & C", "tasks; more is better", "SQLite", "1,500"} <= set(texts_of(image))
    assert "prefers-color-scheme: dark" in (image.findtext(f"{SVG}style") or "")


def test_svg__bars_are_in_proportion_and_ours_stands_out() -> None:
    image = drawn(results_of(drained("ours", 1500.0) | drained("other", 500.0)))

    _, ours, other = image.iter(f"{SVG}rect")
    assert float(ours.attrib["width"]) == pytest.approx(3 * float(other.attrib["width"]), rel=0.01)
    assert (ours.attrib["class"], other.attrib["class"]) == ("bar ours", "bar")


def test_svg__nothing_is_outside_of_it() -> None:
    results = results_of(drained("o" * 60, 1e6) | drained("other", 1.0))
    results.runs.append(replace(results.runs[0], round=1, values={"rate": [2.5e6]}))
    image = drawn(results)
    width = float(image.attrib["width"])

    for rect in image.iter(f"{SVG}rect"):
        assert 0 <= float(rect.get("x", 0)) <= float(rect.get("x", 0)) + float(rect.attrib["width"])
        assert float(rect.get("x", 0)) + float(rect.attrib["width"]) <= width
    assert image.findall(f"{SVG}path[@class='spread']")


def test_svg__a_logarithmic_scale_says_so() -> None:
    linear = drawn(results_of(drained("ours", 50.0) | drained("other", 1.0)))
    logarithmic = drawn(results_of(drained("ours", 51.0) | drained("other", 1.0)))

    def tells(image: ElementTree.Element) -> bool:
        return any("Logarithmic" in text for text in texts_of(image))

    assert (tells(linear), tells(logarithmic)) == (False, True)


@pytest.mark.parametrize(
    ("figures", "ticks"),
    [
        ((3.0, 7.9), [0, 2, 4, 6, 8]),
        ((0.0, 0.0), [0, 0.25, 0.5, 0.75, 1]),
        ((0.9, 900.0), [0.1, 1, 10, 100, 1000]),
    ],
)
def test_scale__lines(figures: tuple[float, float], ticks: list[float]) -> None:
    scale = charts.scale_of([Figure(value, value, value) for value in figures])

    assert scale.ticks() == pytest.approx(ticks)


def test_charts__are_divided_by_what_is_done() -> None:
    cases = {
        _Hashable("drain", f"number {n}", f"number {n}, {work}", "sqlite"): {"rate": 1.0}
        for n in range(charts.MANY)
        for work in ("nothing", "1 ms")
    }

    parts = charts.charts(results_of(cases), "drain", module_of("drain"))

    assert [part.name for part in parts] == ["drain-nothing", "drain-1-ms"]
    assert [bar.label for bar in parts[0].groups["SQLite"]][:2] == ["number 0", "number 1"]


def test_charts__are_divided_by_storage_else() -> None:
    cases = {
        _Hashable("drain", f"number {n}", f"number {n}", database, redis): {"rate": 1.0}
        for n in range(charts.MANY)
        for database, redis in (("sqlite", False), ("postgres", True), ("", True))
    }

    parts = charts.charts(results_of(cases), "drain", module_of("drain"))

    names = [part.name for part in parts]
    assert names == ["drain-sqlite", "drain-redis-and-postgresql", "drain-redis-alone"]


# The page -----------------------------------------------------------------------------------


def test_page__has_machine_budgets_and_measures() -> None:
    results = results_of(drained("ours", 1990.0) | drained("huey_itself", 1000.0), rounds=3)
    results.versions["PostgreSQL"] = "15.20"

    text = page.page(results, module_of)

    assert "| cores | 2 |" in text
    assert "| versions | Python 3.11, PostgreSQL 15.20 |" in text
    assert "| rounds | drain: 3 |" in text
    assert f"| date | {results.begun_at} |" in text
    assert "| ≥ 2× | 1.99× | **not met** |" in text
    assert "It is what it is.\n\n| Database | Contender |" in text
    assert "](performance/drain.svg)" in text
    assert "quick run" not in text
    assert "quick run" in page.page(replace(results, quick=True), module_of)


def test_page__explains_what_is_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = {"drain_huey_sqlite": "It was a bad day.", "drain_db_sqlite": "Never told."}
    monkeypatch.setattr(budgets, "NOTES", notes)
    slow = results_of(drained("ours", 1.0) | drained("huey_itself", 1000.0))
    fast = results_of(drained("ours", 9e9) | drained("huey_itself", 1000.0))

    assert "against SqliteHuey*: It was a bad day." in page.page(slow, module_of)
    assert "Never told." not in page.page(slow, module_of)
    assert "It was a bad day." not in page.page(fast, module_of)


def test_write__replaces_page_and_charts(tmp_path: Path) -> None:
    (tmp_path / "performance").mkdir()
    (tmp_path / "performance" / "of-old.svg").write_text("<svg/>")
    results = results_of(drained("ours", 1.0))

    page.write(results, tmp_path, module_of)

    assert {path.name for path in (tmp_path / "performance").iterdir()} == {
        "budgets.json",
        "drain.svg",
    }
    assert (tmp_path / "performance.md").read_text() == page.page(results, module_of)


def test_write__has_what_the_page_before_said_of_budgets(tmp_path: Path) -> None:
    slow = results_of(drained("ours", 1500.0) | drained("huey_itself", 1000.0))
    fast = results_of(drained("ours", 3000.0) | drained("huey_itself", 1000.0))
    slow.begun_at, fast.begun_at = "2026-01-02 10:00", "2026-03-04 10:00"

    for results in (slow, fast, fast):  # a page that is written once more has the same
        page.write(results, tmp_path, module_of)

    text = (tmp_path / "performance.md").read_text()
    assert "| On 2026-01-02 |" in text
    assert "| ≥ 2× | 3.00× | met | 1.50× |" in text


def test_table__of_a_case_that_does_not_tell_what_others_do() -> None:
    results = results_of(drained("ours", 1.0) | drained("huey_itself", 2.0))
    [run] = [run for run in results.runs if run.case.contender == "huey_itself"]
    run.values.clear()

    table = tables.table(results, "drain", module_of("drain"))

    assert table.splitlines()[-1].endswith("| – | – |")


# Kept results -------------------------------------------------------------------------------


def save(path: Path, results: Results) -> Path:
    """Keep results in a file."""
    results.save(path)
    return path


def test_read__several_files_are_more_rounds(tmp_path: Path) -> None:
    first = save(tmp_path / "a.json", results_of(drained("ours", 1.0), rounds=2, begun_at="Monday"))
    versions = {"PostgreSQL": "15.20"}
    second = results_of(drained("ours", 4.0), begun_at="Tuesday", versions=versions)

    results = kept.read([first, save(tmp_path / "b.json", second)])

    assert results.rounds("drain") == 3
    assert [(run.round, run.values["rate"]) for run in results.runs] == [
        (0, [1.0]),
        (1, [1.0]),
        (2, [4.0]),
    ]
    assert (results.begun_at, results.versions) == ("Monday, Tuesday", versions)
    assert results.load == [0.5, 0.5]


def test_read__what_only_one_has_is_no_further_round(tmp_path: Path) -> None:
    first = save(tmp_path / "a.json", results_of(drained("ours", 1.0)))
    second = save(tmp_path / "b.json", results_of(drained("huey_itself", 4.0)))

    results = kept.read([first, second])

    assert results.rounds("drain") == 1


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"quick": True}, "a.json and b.json cannot be put together: one of them was a quick run."),
        ({"machine": {"cores": "8"}}, "cores was 2 for one and 8 for the other."),
        ({"versions": {"Django": "6.0"}}, "Django was 5.2 for one and 6.0 for the other."),
    ],
)
def test_read__refuses_what_must_not_be_compared(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    first = save(tmp_path / "a.json", results_of({}, versions={"Django": "5.2"}))
    second = save(tmp_path / "b.json", results_of({}, **other))

    with pytest.raises(kept.NotComparable, match=said):
        kept.read([first, second])


# The command --------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, docs: Path, *arguments: str) -> bool:
    """Run the command on no cases at all; tell whether it wrote the page."""
    monkeypatch.setattr(command, "EXPLANATION", docs)
    monkeypatch.setattr(command, "REPOSITORY", docs.parent)
    monkeypatch.setattr("sys.argv", ["benchmarks", *arguments])
    assert command.main() == 0
    return (docs / page.PAGE).exists()


@pytest.mark.parametrize(
    ("arguments", "writes"),
    [
        ([], True),
        (["--quick"], False),
        (["drain"], False),
        (["--contender", "ours"], False),
        (["--rounds", "1"], False),
        (["--quick", "--write"], True),
    ],
)
def test_main__writes_the_page_of_a_whole_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], writes: bool
) -> None:
    monkeypatch.setattr(command, "_cases", lambda name, options: [])

    assert run(monkeypatch, tmp_path, *arguments) is writes


def test_main__from_kept_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = save(tmp_path / "kept.json", results_of(drained("ours", 1234.0), quick=True))

    assert run(monkeypatch, tmp_path, "--from", str(file))
    assert "1,234" in (tmp_path / page.PAGE).read_text()


def test_main__from_refuses_a_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "drain", "--from", "kept.json")

    assert "--from measures nothing" in capsys.readouterr().err


def test_machine__is_named() -> None:
    machine = hardware.machine()

    assert int(machine["cores"]) > 0
    assert "system" in machine
    assert float(machine["memory"].removesuffix(" GB")) > 0
