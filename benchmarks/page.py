"""The page of what was measured: budgets, then tables and charts, in Markdown."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import budgets, charts, measures, tables
from benchmarks.budgets import Budget, Verdict
from benchmarks.charts import Chart
from benchmarks.results import Results

PAGE: Final = "performance.md"
FOLDER: Final = "performance"
"""Where the charts are, beside the page."""

BUDGETS: Final = "budgets.json"
"""What the page says of budgets, beside the charts; the next one says it as what was before."""

WIDTH: Final = 130
"""Characters of a line of prose, at most."""

ModuleOf = Callable[[str], Any]
"""Gives the module of a measure by its name."""

_READING: Final = """\
Each case runs in a process of its own, on a fresh copy of the demo's database. The cases of a
measure take turns, round by round, so that other load on the machine affects all of them. Figures
are the median of all that was measured and, in brackets, the smallest and the largest of the
rounds' medians, which the charts show as a line across the end of each bar. *Compared* is the ratio
to the case of the same database that says “–”.

Other machines have other numbers; the order of magnitude, and how the contenders compare, carry
over. `make bench` writes this page, with the code in `benchmarks/`."""

_QUICK: Final = """\
**From a quick run**: in few and small rounds, which show that it works. The figures are rough."""


@dataclass(frozen=True)
class Told:
    """What a page says of budgets.

    :param date: when they were measured.
    :param figures: for people, by the key of each budget.
    """

    date: str
    figures: Mapping[str, str]

    @classmethod
    def of(cls, results: Results) -> Told:
        """Return what a page says of some results."""
        figures = {each.key: each.told_figure(results) for each in budgets.ALL}
        return cls(results.begun_at, figures)


def write(results: Results, docs: Path, module_of: ModuleOf) -> None:
    """Write the page and its charts; remove charts that an earlier run has left.

    :param docs: the folder of the page.
    """
    folder = docs / FOLDER
    folder.mkdir(exist_ok=True)
    drawn = [
        chart
        for name in measured(results)
        for chart in charts.charts(results, name, module_of(name))
    ]
    for left in set(folder.glob("*.svg")) - {_file(folder, chart) for chart in drawn}:
        left.unlink()
    for chart in drawn:
        _file(folder, chart).write_text(charts.svg(chart), encoding="utf-8")
    now, before = Told.of(results), _before(folder / BUDGETS, results)
    (docs / PAGE).write_text(page(results, module_of, before), encoding="utf-8")
    told = asdict(now) | {"before": before and asdict(before)}
    (folder / BUDGETS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _before(file: Path, results: Results) -> Told | None:
    """Return what the page said before these results; it may have been written of them already."""
    if not file.exists():
        return None
    told = json.loads(file.read_text(encoding="utf-8"))
    before = told.pop("before")
    if told["date"] == results.begun_at:
        return before and Told(**before)
    return Told(**told)


def _file(folder: Path, chart: Chart) -> Path:
    return folder / f"{chart.name}.svg"


def measured(results: Results) -> list[str]:
    """Return the names of the measures that have results, in the order of the page."""
    return [name for name in measures.ALL if results.cases(name)]


def page(results: Results, module_of: ModuleOf, before: Told | None = None) -> str:
    """Return the page.

    :param before: what the one before said of budgets.
    """
    names = measured(results)
    parts = [
        "# Performance",
        "How fast it is, beside the alternatives.",
        *([_filled(_QUICK)] if results.quick else []),
        _header(results, names),
        _filled(_READING),
        "## Budgets",
        budget_table(results, before),
        *_notes(results),
        *(part for name in names for part in _section(results, name, module_of(name))),
    ]
    return "\n\n".join(parts) + "\n"


def _filled(text: str) -> str:
    """Return paragraphs in the lines of the page's prose."""
    return "\n\n".join(
        textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)
        for paragraph in text.split("\n\n")
    )


def _header(results: Results, names: list[str]) -> str:
    """Return the table of what the numbers depend on."""
    machine = dict(results.machine)
    python = machine.pop("Python", "")
    versions = {**({"Python": python} if python else {}), **results.versions}
    rounds = {f"{module}: {results.rounds(module)}" for module in names}
    rows = {
        "date": results.begun_at,
        **machine,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "rounds": ", ".join(sorted(rounds, key=lambda told: names.index(told.split(":")[0]))),
        "processes that wanted to run, on average over a minute, "
        "whenever a measure began or ended": ", ".join(f"{load:.1f}" for load in results.load),
    }
    lines = [f"| {name} | {_cell(told)} |" for name, told in rows.items() if told]
    return "\n".join(["| Measured on | |", "| --- | --- |", *lines])


def _cell(text: str) -> str:
    """Return a text that does not end its cell of a table."""
    return text.replace("|", "\\|")


def budget_table(results: Results, before: Told | None = None) -> str:
    """Return the table of the budgets, whether they are met, and what was measured before."""
    lines = ["| What | Budget | Measured | |", "| --- | ---: | ---: | --- |"]
    if before is not None:
        day = before.date.split(" ")[0]
        lines = [f"| What | Budget | Measured | | On {day} |", "| --- | ---: | ---: | --- | ---: |"]
    for budget in budgets.ALL:
        verdict = budget.verdict(results).value
        line = (
            f"| {budget.what} | {budget.told_limit()} | {budget.told_figure(results)} | {verdict} |"
        )
        lines.append(f"{line} {before.figures.get(budget.key, '–')} |" if before else line)
    return "\n".join(lines)


def _notes(results: Results) -> Iterator[str]:
    """Return why budgets are not met."""
    for budget in _not_met(results):
        if budget.key in budgets.NOTES:
            what = f"{budget.what[0].upper()}{budget.what[1:]}"
            yield _filled(f"*{what}*: {budgets.NOTES[budget.key]}")


def _not_met(results: Results) -> list[Budget]:
    return [each for each in budgets.ALL if each.verdict(results) is Verdict.NOT_MET]


def _section(results: Results, name: str, module: Any) -> Iterator[str]:
    yield f"## {module.TITLE}"
    yield _filled(module.EXPLAINED)
    yield tables.table(results, name, module)
    for chart in charts.charts(results, name, module):
        title = chart.title.replace("`", "").replace("[", "(").replace("]", ")")
        yield f"![{title}: {chart.subtitle}]({FOLDER}/{chart.name}.svg)"
