"""Tests of the types that a site sees: checkers accept what works, and report the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.processes import REPOSITORY

FOLDER = REPOSITORY / "tests" / "typing"
RIGHT, WRONG = FOLDER / "site_code.py", FOLDER / "mistakes.py"

MYPY = f"""
[mypy]
strict = true
warn_unreachable = true
plugins = mypy_django_plugin.main

[mypy.plugins.django-stubs]
django_settings_module = tests.settings

[mypy-wagtail_async_hooks.*]
follow_imports = silent

[mypy-{",".join(f"{name}.*" for name in ("huey", "modelcluster", "taggit", "wagtail"))}]
ignore_missing_imports = true
follow_imports = skip
"""
"""The settings of a site that is strict; of libraries without types, it is so about nothing."""

pytestmark = pytest.mark.slow


def wrong_lines() -> set[int]:
    """Return the lines of mistakes."""
    lines = WRONG.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def test_mypy__is_content_and_reports_each_mistake(tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"
    config.write_text(MYPY, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--no-pretty"]
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache"), str(RIGHT), str(WRONG)],
        cwd=REPOSITORY,
        env={**os.environ, "SITE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(\S+?):(\d+): error: (.+)$", done.stdout, re.MULTILINE)

    assert done.returncode == 1, done.stdout + done.stderr
    assert [each for each in found if not each[0].endswith(WRONG.name)] == []
    assert {int(line) for _, line, _ in found} == wrong_lines(), done.stdout


@pytest.mark.skipif(
    "CI" not in os.environ and not find_spec("basedpyright"), reason="needs basedpyright"
)
def test_pyright__is_content_and_reports_each_mistake(tmp_path: Path) -> None:
    # What it says of code that uses libraries without types is not about this package.
    config = {
        "include": [str(FOLDER)],
        "typeCheckingMode": "strict",
        "extraPaths": [str(REPOSITORY)],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, "--outputjson", "--project", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    found = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in answer["generalDiagnostics"]
        if each["severity"] == "error"
    ]

    assert answer["summary"]["filesAnalyzed"] == 3
    assert [each for each in found if each[0] != WRONG.name] == []
    assert {line for _, line, _ in found} == wrong_lines(), "\n".join(map(str, found))
