"""Tests of the documentation: its tables say what the code says, its examples run, its links lead.

A Python block after ``<!-- test: run -->`` is run in the order of its page, sharing names with the
blocks before it. Tasks that it calls are run by a thread as a worker would, and hooks that it
registers are called as Wagtail would. ``<!-- test: run alone -->`` leaves the tasks to the block,
and ``<!-- test: run immediate -->`` runs it with a blank ``BACKEND``. ``BackgroundTask`` is there
without an import. A block after ``<!-- test: file -->`` is a part of a file of tests, which runs,
and those after ``<!-- test: guide -->`` are run by ``test_guides.py``, with what they are about.

markdown-it-py would read the pages in hardly fewer lines, and drops the cells of a row that has too
many without a word. Sybil runs examples, but the worker, the hooks and the ``BACKEND`` that most of
them need would be here all the same.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import textwrap
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import django
import pytest
import wagtail
from blinker import NamedSignal
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils.module_loading import autodiscover_modules
from wagtail import hooks as wagtail_hooks
from wagtail.models import Page

from tests.fidelity import differences
from tests.work import celery_app, tasks
from wagtail_async_hooks import __version__, background, checks, conf, hooks, signals, testing
from wagtail_async_hooks.conf import parsing
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.hooks import catalogue, registry
from wagtail_async_hooks.integrations import localize
from wagtail_async_hooks.management.commands.wagtail_tasks import known
from wagtail_async_hooks.management.commands.wagtail_worker import Command
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring.doctor.finding import Code
from wagtail_async_hooks.serialization import arguments, codecs, editor_messages, messages
from wagtail_async_hooks.storage.factory import make_notifier
from wagtail_async_hooks.types import State, TaskInfo
from wagtail_async_hooks.utils import redaction
from wagtail_async_hooks.utils.text import MAX_TEXT, MAX_TRACEBACK
from wagtail_async_hooks.worker import schedule

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [
    *(REPOSITORY / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
    *sorted(DOCS.rglob("*.md")),
]
TASK_PATIENCE = 20.0
"""Seconds that the tasks of one block get to come to their end."""

Row = dict[str, str]


def name_of(value: Any) -> str | None:
    """Return how pytest shows a parameter."""
    if isinstance(value, Block):
        return f"{value.page.name}:{value.line}"
    return value.name if isinstance(value, Path) else None


# Reading Markdown ---------------------------------------------------------------------------


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    marker: str
    language: str
    code: str


FENCED = re.compile(
    r"(?:^ *<!-- test: (?P<marker>[a-z ]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[\w{}-]*)\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@cache
def text_of(page: Path) -> str:
    """Return a page."""
    return page.read_text(encoding="utf-8")


@cache
def prose_of(page: Path) -> str:
    """Return a page without its blocks."""
    return FENCED.sub("", text_of(page))


@cache
def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = text_of(page)
    return [
        Block(
            page,
            text.count("\n", 0, match.start("code")),
            match["marker"] or "",
            match["language"],
            textwrap.dedent(match["code"]),
        )
        for match in FENCED.finditer(text)
    ]


PYTHON = [block for page in PAGES for block in blocks_of(page) if block.language == "python"]


def tables_of(page: Path) -> list[list[Row]]:
    """Return the tables of a page, with their rows by heading."""
    tables = []
    for lines in re.findall(r"(?:^\|.*\n)+", prose_of(page), re.MULTILINE):
        rows = [[cell.strip() for cell in _cells(line)] for line in lines.splitlines()]
        assert all(len(row) == len(rows[0]) for row in rows), f"{page.name}: an uneven table"
        tables.append([dict(zip(rows[0], row, strict=True)) for row in rows[2:]])
    return tables


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))


def page_named(name: str) -> Path:
    """Return the page with a name, in whichever folder it is."""
    [found] = [page for page in PAGES if page.stem == name]
    return found


def table(page: str, *headings: str) -> list[Row]:
    """Return all rows of a page's tables that have these headings.

    :param page: its name, without its folder.
    """
    found = [t for t in tables_of(page_named(page)) if tuple(t[0])[: len(headings)] == headings]
    assert found, f"{page} has no table with the headings {headings}"
    return [row for rows in found for row in rows]


def codes(cell: str) -> list[str]:
    """Return what a cell of a table shows as code."""
    return re.findall(r"`([^`]+)`", cell)


def code(cell: str) -> str:
    """Return the one thing that a cell of a table shows as code."""
    [found] = codes(cell)
    return found


@cache
def anchors_of(page: Path) -> set[str]:
    """Return the names within a page that links can lead to, as code hosts make them."""
    headings = re.findall(r"^#+ +(.+?) *$", prose_of(page), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', prose_of(page)))


def links_of(page: Path) -> list[str]:
    """Return where the links of a page lead, as they are written."""
    prose = re.sub(r"`[^`\n]*`", "", prose_of(page))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


@cache
def project() -> dict[str, Any]:
    """Return ``pyproject.toml``."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


# Pages and links ----------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links__lead_somewhere(page: Path) -> None:
    lost = []
    for link in links_of(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_text__names_no_machine(page: Path) -> None:
    paths = r"(?<![\w.])/(?:work|root|home|Users|tmp)/"
    assert re.findall(rf"{paths}.*", text_of(page)) == []


# Versions and commands ----------------------------------------------------------------------


def least(package: str) -> str:
    """Return the lowest version of a package that ``pyproject.toml`` allows."""
    for requirement in project()["project"]["dependencies"]:
        if match := re.fullmatch(rf"{package}>=([\d.]+)(,.*)?", requirement):
            return match[1]
    raise AssertionError(f"{package} is not required")


def classified(framework: str) -> list[str]:
    """Return the versions of a framework that ``pyproject.toml`` names."""
    classifiers = project()["project"]["classifiers"]
    found = (re.fullmatch(rf"{framework} :: (\d[\d.]*)", name) for name in classifiers)
    return [match[1] for match in found if match]


@pytest.fixture
def supported() -> Row:
    """What the README says is supported."""
    rows = table("README", "Component", "Versions")
    return {row["Component"]: row["Versions"] for row in rows}


def test_supported__python(supported: Row) -> None:
    assert project()["project"]["requires-python"] == ">=3.11"
    assert supported["Python"] == "3.11 or newer"


def test_supported__django(supported: Row) -> None:
    versions = classified("Framework :: Django")
    assert least("Django") == versions[0]
    assert supported["Django"] == f"{versions[0]} to {versions[-1]}"
    assert f"{django.VERSION[0]}.{django.VERSION[1]}" in versions


def test_supported__wagtail(supported: Row) -> None:
    lowest, highest = supported["Wagtail"].split(" to ")
    assert lowest == least("wagtail")
    majors = classified("Framework :: Wagtail")
    assert (lowest.split(".")[0], highest.split(".")[0]) == (majors[0], majors[-1])
    assert as_numbers(lowest) <= wagtail.VERSION[:2] <= as_numbers(highest)


def as_numbers(version: str) -> tuple[int, ...]:
    """Return a version as something that can be compared."""
    return tuple(int(part) for part in version.split("."))


def test_supported__huey(supported: Row) -> None:
    assert supported["Huey"] == f"{least('huey')} or newer, below 4"
    assert "huey>=3.5,<4" in project()["project"]["dependencies"]


def test_readme__version_and_extras() -> None:
    text = text_of(REPOSITORY / "README.md")
    assert f"Version {__version__} " in text
    extras = set(re.findall(r"wagtail-async-hooks\[(\w+)\]", text))
    assert extras == set(project()["project"]["optional-dependencies"]) - {
        "test",
        "bench",
        "dist",
        "docs",
    }


def test_readme__figures_are_those_of_the_pages() -> None:
    """Figures that are measured anew are to be put into the README as well."""
    text = text_of(REPOSITORY / "README.md")
    measured = re.findall(r"\d[\d,]*\.?\d*", text_of(page_named("performance")))
    known = {*measured, *(f"{float(each.replace(',', '')):.0f}" for each in measured)}
    told = [line for line in text.splitlines() if "](docs/explanation/performance.md#" in line]
    assert len(told) == 3
    for line in told:
        figures = re.findall(r"(?<![\w.])\d[\d,]*\.?\d*(?= ms| on |, \d| \||, \d)", line)
        assert figures
        assert {each.rstrip(",") for each in figures} <= known


def test_contributing__servers_of_the_tests() -> None:
    source = (REPOSITORY / "noxfile.py").read_text(encoding="utf-8")
    [servers] = re.findall(r"^SERVERS: Final = (.+)$", source, re.MULTILINE)
    expected = [
        ([f"{name.upper()}_HOST", f"{name.upper()}_PORT"], f"127.0.0.1, {port}")
        for name, port in ast.literal_eval(servers).items()
    ]
    rows = table("tests", "Server", "Variables", "Default")
    assert [(codes(row["Variables"]), row["Default"]) for row in rows] == expected


def test_contributing__variables_are_read_somewhere() -> None:
    sources = ["Makefile", "scripts/demo.py", "noxfile.py", "tests/site/settings.py"]
    text = "".join((REPOSITORY / source).read_text(encoding="utf-8") for source in sources)
    rows = table("tests", "Variable", "Meaning", "Default")
    names = {name for row in rows for name in codes(row["Variable"])} | {
        "SITE_DATABASE_USER",
        "SITE_DATABASE_PASSWORD",
    }
    # tests/site/settings.py asks for them without their prefix.
    assert {n for n in names if n not in text and f'"{n.removeprefix("SITE_")}"' not in text} == (
        set()
    )


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/contributing/index.md"])
def test_commands__are_targets_of_the_makefile(page: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)`", text_of(REPOSITORY / page)))
    assert {"demo", "test"} <= named <= targets


def test_changelog__has_what_is_not_released_on_top() -> None:
    headings = re.findall(r"^## (.+)$", text_of(REPOSITORY / "CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"


# Tables -------------------------------------------------------------------------------------


NESTED = ("worker", "health", "alerts", "email", "renditions", "history", "bulk_actions")
"""Settings that are told of by their parts."""


def test_settings__are_those_of_the_code() -> None:
    defaults = conf.parse({})
    expected: dict[str, Any] = {}
    for key, default in defaults._asdict().items():
        if key not in (*NESTED, "own_hooks", "background", "sync_hooks", "problems"):
            expected[f'{conf.SETTING}["{key.upper()}"]'] = default
    for parts, options in (
        ('["HOOKS"][name]', TaskOptions),
        ('["WORKER"]', conf.WorkerOptions),
        ('["QUEUES"][name]', conf.QueueOptions),
        ('["HEALTH"]', conf.HealthOptions),
        ('["ALERTS"]', conf.AlertOptions),
        ('["HISTORY"]', conf.HistoryOptions),
        ('["RENDITIONS"]', conf.RenditionOptions),
    ):
        for name, default in options._field_defaults.items():
            expected[f'{conf.SETTING}{parts}["{name}"]'] = default
    for name in ("arguments", "background"):
        expected[f'{conf.SETTING}["HOOKS"][name]["{name}"]'] = None
    for name, default in conf.EmailOptions._field_defaults.items():
        key = "BACKEND" if name == "backend" else name
        expected[f'{conf.SETTING}["EMAIL"]["{key}"]'] = default
    bulk = conf.BulkActionOptions()
    for name, default in bulk._replace(actions=[])._asdict().items():  # type: ignore[arg-type]
        expected[f'{conf.SETTING}["BULK_ACTIONS"]["{name}"]'] = default
    expected[conf.SYNC_HOOKS_SETTING] = list(defaults.sync_hooks)

    entry = f'{conf.SETTING}["SCHEDULE"][name]'
    # In the settings, keyword arguments are called otherwise where they are a command's.
    expected |= {f'{entry}["{name}"]': {} for name in ("options", "kwargs")}
    for name, default in conf.ScheduleEntry._field_defaults.items():
        if name not in ("kwargs", "task_options"):
            expected[f'{entry}["{name}"]'] = default

    rows = table("settings", "Setting", "Type", "Default")
    documented = {code(r["Setting"]): r["Default"] for r in rows}
    assert documented.pop(f'{entry}["crontab"]') == "required"
    assert {name: ast.literal_eval(code(told)) for name, told in documented.items()} == expected


def test_settings__every_option_is_explained() -> None:
    prose = prose_of(page_named("settings"))
    options = {
        name
        for options in (
            TaskOptions,
            conf.WorkerOptions,
            conf.QueueOptions,
            conf.HealthOptions,
            conf.RenditionOptions,
            conf.HistoryOptions,
            conf.ScheduleEntry,
            conf.ScheduleEntry,
            conf.BulkActionOptions,
        )
        for name in options._fields
    }
    options = options - {"task_options"} | {"options"}
    assert [name for name in options if f"\n`{name}`:" not in prose] == []


def test_monitoring__metrics_are_those_of_the_code() -> None:
    pytest.importorskip("prometheus_client")
    from wagtail_async_hooks.monitoring import prometheus

    kinds = (prometheus.Counter, prometheus.Histogram)
    counted = [each for each in vars(prometheus).values() if isinstance(each, kinds)]
    expected = {family.name: family.type for each in counted for family in each.describe()}
    expected |= {family.name: family.type for family in prometheus._gauges()}
    rows = table("monitoring", "Metric", "Type", "Labels", "Meaning")
    documented = {code(row["Metric"]).removesuffix("_total"): row["Type"] for row in rows}
    assert documented == expected


def test_schedule__keys_are_those_of_the_code() -> None:
    rows = table("schedule", "Key of an entry", "Meaning")
    documented = {name for row in rows for name in codes(row["Key of an entry"])}
    kinds = {name for pair in parsing._ARGUMENTS_OF.items() for name in pair}
    assert documented == {*kinds, "args", *parsing._ENTRY_READERS}


def test_schedule__attributes_are_those_of_the_code() -> None:
    rows = table("schedule", "Attribute of an entry", "Meaning")
    documented = [name for row in rows for name in codes(row["Attribute of an entry"])]
    assert sorted(documented) == sorted(f.name for f in dataclasses.fields(schedule.Status))


def test_wagtail_localize__options_are_those_of_the_code() -> None:
    defaults = localize.DEFAULTS.over(TaskOptions(priority=0, retry_backoff=1))
    rows = table("wagtail-localize", "Option", "Meaning", "Default")
    documented = {code(row["Option"]): ast.literal_eval(code(row["Default"])) for row in rows}
    assert documented == {name.upper(): getattr(defaults, name) for name in localize.OPTIONS}


def test_wagtail_localize__version() -> None:
    [least] = re.findall(
        r"wagtail-localize ([\d.]+\d) installs", text_of(page_named("wagtail-localize"))
    )
    assert f"wagtail-localize>={least}" in project()["project"]["optional-dependencies"]["test"]


def test_catalogue__is_that_of_the_code() -> None:
    rows = table("catalogue", "Hook", "Arguments", "Objects passed as")
    documented = {
        code(row["Hook"]): (
            tuple(code(row["Arguments"]).split(", ")),
            row["Objects passed as"],
        )
        for row in rows
    }
    assert documented == {
        hook: (kind.arguments, _passed_as(kind)) for hook, kind in catalogue.BACKGROUND_SAFE.items()
    }


def test_receivers__signals_are_those_of_the_code() -> None:
    rows = table("receivers", "Signal", "Arguments beside the sender")
    documented = {
        name: tuple(codes(row["Arguments beside the sender"]))
        for row in rows
        for name in codes(row["Signal"])
    }
    assert documented == {name: kind.arguments for name, (_, kind) in catalogue.SIGNALS.items()}
    rows = table("receivers", "Signal", "Why it is refused")
    refused = [name for row in rows for name in codes(row["Signal"])]
    assert sorted(refused) == sorted(catalogue.UNSUITABLE)


def _passed_as(kind: catalogue.Kind) -> str:
    if kind.deleted:
        return "copy"
    if kind.objects:
        return f'reference; after `"{catalogue.DELETE}"`, copy'
    return "draft" if kind.draft else "reference"


def test_security__names_of_secrets_are_those_of_the_code() -> None:
    section = text_of(page_named("security")).split("## Names of secrets")[1].split("\n## ")[0]
    words, keys, examples = (codes(part) for part in re.split("\nSo it is|, as in", section))
    assert tuple(words) == redaction.WORDS
    assert tuple(keys) == redaction.KEYS
    assert all(redaction.is_secret(name) for name in examples)


def test_security__limits_are_those_of_the_code() -> None:
    rows = table("security", "What", "At most")
    told = [re.findall(r"\d+", row["At most"].replace(",", "")) for row in rows]
    assert [list(map(int, numbers)) for numbers in told] == [
        [messages.MAX_SIZE // 10**6, messages.MAX_DEPTH],
        [MAX_TEXT],
        [MAX_TRACEBACK],
        [editor_messages.MAX_MESSAGES],
    ]


def test_signals__are_those_of_the_code() -> None:
    rows = table("signals", "Signal", "Sent", "Arguments beside the sender")
    defined = {name for name, found in vars(signals).items() if isinstance(found, NamedSignal)}
    assert [code(row["Signal"]) for row in rows] == list(dict.fromkeys(_in_docstring()))
    assert set(_in_docstring()) == defined


def _in_docstring() -> list[str]:
    """Return the signals of the table in the module's docstring, in its order."""
    assert signals.__doc__ is not None
    return re.findall(r"^``(\w+)``  ", signals.__doc__, re.MULTILINE)


def test_signals__attributes_of_a_task() -> None:
    rows = table("signals", "Attribute", "Meaning")
    fields = [field.name for field in dataclasses.fields(TaskInfo)]
    assert [code(row["Attribute"]) for row in rows] == [*fields, "sender"]


def test_checks__are_those_of_the_code() -> None:
    package = REPOSITORY / "wagtail_async_hooks"
    source = "".join(module.read_text(encoding="utf-8") for module in package.rglob("*.py"))
    ids = sorted(set(re.findall(r"wagtail_async_hooks\.[EIW]\d{3}", source)))
    prose = prose_of(page_named("checks"))
    headings = re.findall(r"^## (\w+)$", prose, re.MULTILINE)
    assert [f"wagtail_async_hooks.{heading}" for heading in headings] == ids


def test_checks__the_package_says_which_module_has_which() -> None:
    rows = re.findall(r"^``(\w+)`` +((?:[EIW]\d{3} ?)+)$", checks.__doc__ or "", re.MULTILINE)
    written: dict[str, list[str]] = {}
    for module in Path(*checks.__path__).glob("*.py"):
        ids = re.findall(r"wagtail_async_hooks\.([EIW]\d{3})", module.read_text(encoding="utf-8"))
        written |= {module.stem: sorted(ids)} if ids else {}  # each stands once
    assert written == {module: ids.split() for module, ids in rows}


def test_checks__each_has_a_cause_and_a_remedy() -> None:
    sections = prose_of(page_named("checks")).split("\n## ")[1:]
    assert [s for s in sections if "**Cause.**" not in s or "**Remedy.**" not in s] == []


def test_worker__options_are_those_of_the_command() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    Command().add_arguments(parser)
    options = {action.option_strings[0] for action in parser._actions}
    rows = table("worker", "Option", "Default", "Meaning")
    assert {code(row["Option"]) for row in rows} == options


def test_commands__subcommands_are_those_of_the_code() -> None:
    rows = table("commands", "Subcommand", "What it does")
    assert {code(row["Subcommand"]) for row in rows} == set(known())


def test_commands__what_the_doctor_finds_is_that_of_the_code() -> None:
    rows = table("commands", "Code", "What is wrong")
    assert [code(row["Code"]) for row in rows] == list(Code)


def test_troubleshooting__names_what_the_doctor_and_the_log_say() -> None:
    prose = prose_of(page_named("troubleshooting"))
    named = {name for name in codes(prose) if re.fullmatch(r"[a-z]+(-[a-z]+)+", name)}
    assert len(named) > 5
    assert named <= set(Code)
    quoted = {" ".join(quote.split()) for quote in re.findall(r'"… ([^"]+)"', prose)}
    assert quoted
    modules = (REPOSITORY / "wagtail_async_hooks").rglob("*.py")
    texts = [
        node.value
        for module in modules
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert {quote for quote in quoted if not any(quote in text for text in texts)} == set()


def test_worker__defaults_are_those_of_the_settings() -> None:
    for row in table("worker", "Option", "Default", "Meaning"):
        if match := re.fullmatch(r'`\w+\["WORKER"\]\["(\w+)"\]`, (\d+)', row["Default"]):
            assert getattr(conf.WorkerOptions(), match[1]) == int(match[2])


def log_patterns() -> Iterator[str]:
    """Return expressions for the lines that the worker logs."""
    package = REPOSITORY / "wagtail_async_hooks"
    command = package / "management/commands/wagtail_worker.py"
    for module in (*sorted((package / "worker").glob("*.py")), command):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                for argument in node.args:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield re.sub(r"%[\\.\d]*[a-z]", ".*", re.escape(argument.value))


def test_worker__lines_are_those_of_the_code() -> None:
    [sample] = [b.code for b in blocks_of(page_named("worker")) if " INFO " in b.code]
    patterns = list(log_patterns())
    messages = [re.split(r" (?:INFO|WARNING|ERROR) ", line)[1] for line in sample.splitlines()]
    assert [m for m in messages if not any(re.fullmatch(p, m) for p in patterns)] == []


def numbers() -> Iterator[tuple[str, str]]:
    """Return the constants that pages name, with the values that they give."""
    for page in PAGES:
        for rows in tables_of(page):
            if "Constant" in rows[0]:
                for row in rows:
                    yield code(row["Constant"]), row.get("Value") or row["Seconds"]


@pytest.mark.parametrize(("constant", "told"), numbers())
def test_numbers__are_those_of_the_code(constant: str, told: str) -> None:
    module, _, name = constant.rpartition(".")
    value = getattr(importlib.import_module(f"wagtail_async_hooks.{module}"), name)
    values = list(value) if isinstance(value, tuple) else [value]
    assert [float(part) for part in told.split(", ")] == values


def test_tasks__states_are_those_of_the_code() -> None:
    rows = table("tasks", "State", "Meaning", "Final")
    documented = {code(row["State"]): row["Final"] == "yes" for row in rows}
    assert documented == {state.value: state.is_final for state in State}


def test_tasks__columns_are_those_of_the_model() -> None:
    rows = table("tasks", "Column", "Meaning")
    documented = {name for row in rows for name in codes(row["Column"])}
    assert documented == {field.name for field in BackgroundTask._meta.fields}


def test_write_a_codec__arguments_of_register_are_those_of_the_code() -> None:
    rows = table("write-a-codec", "Argument of `register`", "Default", "Meaning")
    documented = [name for row in rows for name in codes(row["Argument of `register`"])]
    assert documented == list(inspect.signature(arguments.register).parameters)


def test_arguments__what_differs_is_what_a_test_finds() -> None:
    rows = table("arguments", *differences.HEADINGS)
    documented = [tuple(row.values()) for row in rows]
    expected = [difference.cells() for difference in differences.DIFFERENCES]
    assert documented == expected, f"The table should be:\n{differences.markdown()}"


def test_internals__packages_are_in_the_order_of_imports() -> None:
    contract = project()["tool"]["importlinter"]["contracts"][0]
    rows = table("internals", "Package", "What it does")
    layers = [name for layer in contract["layers"] for name in layer.split(" | ")]
    assert [code(row["Package"]) for row in rows] == layers


@pytest.mark.parametrize("page", ["internals", "adding", "how-a-task-travels"])
def test_internals__paths_exist(page: str) -> None:
    text = text_of(page_named(page))
    named = set(re.findall(r"(?<![\w/.-])(?:\w+/)+(?:\w+\.\w+)?(?![\w/])", text))
    named |= set(re.findall(r"`(\w+\.(?:py|md|toml))`", text))
    assert len(named) > 25
    roots = (REPOSITORY, REPOSITORY / "wagtail_async_hooks")
    assert sorted(n for n in named if not any((root / n).exists() for root in roots)) == []


def test_internals__names_are_those_of_the_code() -> None:
    told = codes(prose_of(page_named("internals")))
    calls = (re.fullmatch(r"([A-Za-z_]\w*(?:\.\w+)+)(?:\(.*\))?", code) for code in told)
    names = {match[1] for match in calls if match and not match[1].endswith((".py", ".md"))}
    assert len(names) > 10
    assert sorted(name for name in names if not _is_known(name)) == []


def test_adding__tests_exist() -> None:
    """Each test that it says fails is there."""
    named = set(re.findall(r"\btest_\w+__\w+", text_of(page_named("adding"))))
    tests = "".join(
        m.read_text(encoding="utf-8") for m in (REPOSITORY / "tests").rglob("test_*.py")
    )
    assert len(named) > 15
    assert sorted(name for name in named if f"def {name}(" not in tests) == []


def test_internals__words_of_the_code_are_in_it() -> None:
    told = codes(prose_of(page_named("internals")))
    words = {
        match[1] for code in told if (match := re.fullmatch(r"([A-Z]\w+|\w+(?=\(\)))\W*", code))
    }
    modules = (REPOSITORY / "wagtail_async_hooks").rglob("*.py")
    known = set(re.findall(r"\w+", "".join(m.read_text(encoding="utf-8") for m in modules)))
    assert len(words) > 10
    assert sorted(words - known) == []


def _is_known(name: str) -> bool:
    """Return whether a dotted name leads somewhere: within the package, or anywhere."""
    if name[0].isupper():
        modules = (REPOSITORY / "wagtail_async_hooks").rglob("*.py")
        kind = re.compile(rf"^class {name.partition('.')[0]}\b", re.MULTILINE)
        found = [m for m in modules if kind.search(m.read_text(encoding="utf-8"))]
        name = ".".join([*found[0].relative_to(REPOSITORY).with_suffix("").parts, name])
    for path in (f"wagtail_async_hooks.{name}", name):
        try:
            pkgutil.resolve_name(path)
        except (ImportError, AttributeError):
            continue
        return True
    return False


def test_internals__migrations_are_all_there() -> None:
    folder = REPOSITORY / "wagtail_async_hooks/migrations"
    rows = table("internals", "Migration", "What it does")
    assert [code(r["Migration"]) for r in rows] == sorted(p.stem for p in folder.glob("0*.py"))


# Examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", PYTHON, ids=name_of)
def test_example__can_be_parsed(block: Block) -> None:
    ast.parse(block.code)


def literals(name: str) -> Iterator[tuple[Block, Any]]:
    """Return what the examples assign to a setting."""
    for block in PYTHON:
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [name]:
                yield block, ast.literal_eval(node.value)


@pytest.mark.parametrize(("block", "value"), literals(conf.SETTING), ids=name_of)
def test_example__settings_have_no_mistakes(
    block: Block, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mysite", "mysite.celery"):
        monkeypatch.setitem(sys.modules, name, celery_app)
    settings = conf.parse(value)
    assert settings.problems == ()
    if settings.backend not in ("", "database"):
        make_notifier(settings, "docs")  # connects to nothing


@pytest.mark.parametrize(("block", "value"), literals(conf.SYNC_HOOKS_SETTING), ids=name_of)
def test_example__synchronous_hooks_have_no_mistakes(block: Block, value: Any) -> None:
    assert conf.parse({}, value).problems == ()


def test_example__sqlite_options_are_those_of_the_demo() -> None:
    from tests.site.settings import sqlite

    [block] = [b for b in PYTHON if "transaction_mode" in b.code and b.page.stem == "installation"]
    [options] = [
        ast.literal_eval(value)
        for node in ast.walk(ast.parse(block.code))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "OPTIONS"
    ]
    assert options == sqlite()["OPTIONS"]


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget afterwards what examples register: here, in Wagtail, in Django, Huey and blinker."""
    wagtail_hooks.search_for_hooks()
    autodiscover_modules("tasks")  # else an example imports some, and they are forgotten
    known: list[dict[Any, Any]] = [
        registry.entries,
        background._registry._registry,
        codecs._by_kind,
        codecs._by_type,
    ]
    before = [dict(each) for each in known]
    # The demo's hooks are out of the way: what fires is the example's.
    monkeypatch.setattr(wagtail_hooks, "_hooks", {})
    monkeypatch.setattr(background._registry, "_periodic_tasks", [])
    kept = list(registry.kept_synchronous)
    connected = [(signal, list(signal.receivers)) for signal, _ in catalogue.SIGNALS.values()]
    yield
    for signal, receivers in connected:
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()
    for each, contents in zip(known, before, strict=True):
        each.clear()
        each.update(contents)
    codecs._codec_for.cache_clear()
    registry.kept_synchronous[:] = kept


@contextmanager
def running_worker() -> Iterator[None]:
    """Run tasks in a thread, as a worker does."""
    ended = threading.Event()

    def work() -> None:
        try:
            while not ended.is_set():
                background.read_schedule()
                task = background.next()
                if task is None:
                    ended.wait(0.01)
                else:
                    background.execute(task)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def fire(fired: set[str]) -> None:
    """Call the functions of some hooks, as Wagtail would."""
    request: HttpRequest = RequestFactory().get("/admin/")
    request.user = AnonymousUser()
    page = Page.objects.get(depth=2)
    values = {"request": request, "page": page, "new_page": page, "order": "an order"}
    for hook in fired:
        kind = catalogue.kind_of(hook)
        assert kind is not None
        for function in hooks.get_hooks(hook):
            function(*(values[name] for name in kind.arguments))


def wait_for_the_end() -> None:
    """Return once no task waits or runs."""
    deadline = threading.Event()
    unfinished = BackgroundTask.objects.filter(state__in=[State.WAITING, State.RUNNING])
    for _ in range(int(TASK_PATIENCE / 0.02)):
        if not unfinished.exists():
            return
        deadline.wait(0.02)
    raise AssertionError(f"These tasks have not ended: {list(unfinished)}")


@contextmanager
def namespace_of(page: Path) -> Iterator[dict[str, Any]]:
    """Give the names that the examples of a page begin with, in a module of their own."""
    module = ModuleType(f"docs_{page.stem}")
    module.BackgroundTask = BackgroundTask  # type: ignore[attr-defined]  # as an import would
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        yield vars(module)
    for signal in vars(signals).values():
        if isinstance(signal, NamedSignal):
            for value in filter(callable, vars(module).values()):
                signal.disconnect(value)


def run_block(block: Block, names: dict[str, Any]) -> None:
    """Run one example, then the hooks that it has registered."""
    compiled = compile("\n" * block.line + block.code, str(block.page), "exec")
    known = set(registry.entries)
    exec(compiled, names)
    fire({hook for hook, _ in set(registry.entries) - known})


def marked(marker: str) -> list[Any]:
    """Return the pages with examples of one kind, each with those examples."""
    found = [(page, [b for b in blocks_of(page) if b.marker == marker]) for page in PAGES]
    return [pytest.param(page, blocks, id=page.name) for page, blocks in found if blocks]


def test_examples__only_python_is_run_and_in_a_known_way() -> None:
    told = {(b.language, b.marker) for page in PAGES for b in blocks_of(page) if b.marker}
    assert told == {("python", m) for m in ("run", "run alone", "run immediate", "file", "guide")}


def test_examples__of_tests_are_those_that_run() -> None:
    file = (REPOSITORY / "tests/site/blog/test_background.py").read_text(encoding="utf-8")
    shown = [block for block in blocks_of(page_named("testing")) if block.marker == "file"]
    assert shown
    assert [block.line for block in shown if block.code not in file] == []


def test_testing__attributes_and_arguments_are_those_of_the_code() -> None:
    rows = table("testing", "Attribute of a task", "Meaning")
    told = {name for row in rows for name in codes(row["Attribute of a task"])}
    fields = {field.name for field in dataclasses.fields(testing.RecordedTask)}
    assert told == fields | {"arguments"}
    rows = table("testing", "Argument", "Default", "Meaning")
    parameters = inspect.signature(testing.run_background_tasks).parameters
    assert {code(r["Argument"]): ast.literal_eval(code(r["Default"])) for r in rows} == {
        name: parameter.default for name, parameter in parameters.items()
    }


def test_testing__assertions_are_those_of_the_code() -> None:
    rows = table("testing", "`BackgroundTasksMixin`", "`BackgroundTasks`", "Fails")
    for row in rows:
        name, _, arguments = code(row["`BackgroundTasksMixin`"]).rstrip(")").partition("(")
        for owner, method in (
            (testing.BackgroundTasksMixin, name),
            (testing.BackgroundTasks, code(row["`BackgroundTasks`"])),
        ):
            _, *parameters = inspect.signature(getattr(owner, method)).parameters.values()
            given = [str(each.replace(annotation=each.empty)) for each in parameters]
            assert ", ".join(given) == arguments


@pytest.mark.usefixtures("registries", "committed_db")
@pytest.mark.parametrize(("page", "blocks"), marked("run"))
def test_examples__run(page: Path, blocks: list[Block]) -> None:
    with namespace_of(page) as names, running_worker():
        for block in blocks:
            run_block(block, names)
        wait_for_the_end()
    unexpected = BackgroundTask.objects.exclude(
        state__in=[State.SUCCEEDED, State.SCHEDULED, State.MERGED]
    )
    assert [task.traceback or task.error for task in unexpected] == []


@pytest.mark.django_db
def test_tasks__what_has_failed_can_wait_and_run_again() -> None:
    tasks.fail("no luck")
    failed = BackgroundTask.objects.filter(state=State.FAILED)
    for attempt in (1, 2):
        task = background.next()
        assert task is not None
        background.execute(task)
        assert failed.get().attempt == attempt
        assert attempt == 2 or failed.update(state=State.WAITING) == 1


@pytest.mark.usefixtures("registries")
@pytest.mark.django_db
@pytest.mark.parametrize(("page", "blocks"), marked("run alone"))
def test_examples__run_alone(page: Path, blocks: list[Block]) -> None:
    with namespace_of(page) as names:
        for block in blocks:
            run_block(block, names)


@pytest.mark.usefixtures("registries", "immediate")
@pytest.mark.django_db
@pytest.mark.parametrize(("page", "blocks"), marked("run immediate"))
def test_examples__run_immediate(page: Path, blocks: list[Block]) -> None:
    with namespace_of(page) as names:
        for block in blocks:
            run_block(block, names)
    assert not BackgroundTask.objects.exists()
