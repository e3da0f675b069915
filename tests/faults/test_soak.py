"""The table that the soak writes, and the numbers that the page around it names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.faults import catalogue
from tests.processes import REPOSITORY
from wagtail_async_hooks.ledger import workers
from wagtail_async_hooks.utils.database.outages import OUTAGE_INTERVAL
from wagtail_async_hooks.worker import maintenance, rescuing, threads

PAGE = REPOSITORY / "docs" / "explanation" / "reliability.md"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`scripts/soak.py` as a module."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script changes its first entry
    spec = importlib.util.spec_from_file_location("soak", REPOSITORY / "scripts" / "soak.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "soak", module)
    spec.loader.exec_module(module)
    return module


def test_write__replaces_what_is_between_the_markers(soak: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{soak.BEGIN}\nan old table\n{soak.END}\nafter\n")
    soak.write(page, "a new table")
    assert page.read_text() == f"before\n{soak.BEGIN}\na new table\n{soak.END}\nafter\n"


def test_write__without_markers_says_so(soak: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no markers\n")
    with pytest.raises(SystemExit, match="lacks the lines"):
        soak.write(page, "a table")


def test_table__has_a_row_for_each_fault_that_was_done(soak: ModuleType) -> None:
    done = soak.Cell("MariaDB", "poison", "40 / 40 / 3 / 0", 0, 5.2, "")
    failed = soak.Cell("SQLite", "poison", "40 / 38 / 3 / 2", 2, 5.2, "2 of 40 tasks were lost")
    *_, row = soak.table([done, failed], ["MariaDB 1.0"], small=True).splitlines()
    assert row == (
        "| A task that kills its worker, among 40 others (counted here) | **failed** | – | "
        "`40 / 40 / 3 / 0`, 5 s | – | – |"
    )


def test_catalogue__names_are_unique() -> None:
    names = [row.name for row in catalogue.ROWS]
    assert len(names) == len(set(names))


def test_page__has_the_markers_and_the_numbers(soak: ModuleType) -> None:
    text = PAGE.read_text()
    assert text.index(soak.BEGIN) < text.index(soak.END)
    assert f"every {maintenance.HEARTBEAT_INTERVAL:g} seconds, by the database's clock" in text
    assert f"after {workers.HEARTBEAT_TIMEOUT:g} seconds without a heartbeat" in text
    assert f"when {rescuing.MAX_DEATHS} workers have died" in text
    assert maintenance.HEARTBEAT_INTERVAL * 2 + workers.HEARTBEAT_TIMEOUT <= 30
    assert threads.IDLE_INTERVAL == OUTAGE_INTERVAL == 1
