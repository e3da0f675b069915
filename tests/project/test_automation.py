"""What runs elsewhere, by workflows and services: does it still fit the project?"""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from packaging.requirements import Requirement

from noxfile import SERVERS
from tests.processes import REPOSITORY

WORKFLOWS: Final = REPOSITORY / ".github" / "workflows"
TEST, PUBLISH = WORKFLOWS / "test.yml", WORKFLOWS / "publish.yml"
PRE_COMMIT: Final = REPOSITORY / ".pre-commit-config.yaml"
READ_THE_DOCS: Final = REPOSITORY / ".readthedocs.yaml"
DEPENDABOT: Final = REPOSITORY / ".github" / "dependabot.yml"
ALL: Final = (TEST, PUBLISH, PRE_COMMIT, READ_THE_DOCS, DEPENDABOT)

IMAGES: Final = {
    "postgres": "postgres",
    "mysql": "mariadb",
    "redis": "redis",
    "rabbitmq": "rabbitmq",
}
"""The image of each server of the tests."""

MAY_WRITE: Final = {(PUBLISH.name, "publish"): {"id-token": "write"}}
"""The jobs that may do more than read."""


REPOSITORY_NAME: Final = "wagtail-async-hooks/wagtail-async-hooks"
"""Where the project is hosted, by owner and name."""


@cache
def read(path: Path) -> dict[str, Any]:
    """Return what a file in YAML says."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


@cache
def project() -> dict[str, Any]:
    """Return ``pyproject.toml``."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def pythons() -> list[str]:
    """Return the versions of Python that the classifiers name, the oldest first."""
    prefix = "Programming Language :: Python :: 3."
    classifiers = project()["project"]["classifiers"]
    return [f"3.{each.removeprefix(prefix)}" for each in classifiers if each.startswith(prefix)]


def steps(path: Path) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow."""
    return [step for job in read(path)["jobs"].values() for step in job.get("steps", [])]


def makefile() -> str:
    """Return the Makefile."""
    return (REPOSITORY / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_files__are_yaml(path: Path) -> None:
    assert read(path)


def test_workflows__are_all_looked_at() -> None:
    assert set(WORKFLOWS.iterdir()) == {TEST, PUBLISH}


@pytest.mark.parametrize("path", [TEST, PUBLISH], ids=lambda path: path.name)
def test_workflows__name_targets_that_there_are(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", makefile(), re.MULTILINE))
    named = {
        name for step in steps(path) for name in re.findall(r"make ([\w-]+)", step.get("run", ""))
    }
    assert named
    assert named <= targets


def test_tests__are_those_of_the_makefile() -> None:
    commands = {step.get("if"): step["run"] for step in steps(TEST) if "if" in step}
    assert commands == {
        "github.event_name != 'schedule'": "make test END=${{ matrix.end }}",
        "github.event_name == 'schedule'": "make test-all END=${{ matrix.end }}",
    }
    assert {"make docs", "make dist"} <= {step.get("run") for step in steps(TEST)}


def test_matrix__has_the_ends_of_what_is_supported() -> None:
    matrix = read(TEST)["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert [(each["end"], each["python"]) for each in matrix] == [
        ("oldest", pythons()[0]),
        ("newest", pythons()[-1]),
    ]
    for each in matrix:
        found = re.search(rf"\(END\),{each['end']}\)\nPYTHON = python([\d.]+)", makefile())
        assert found is not None
        assert found[1] == each["python"]


@pytest.mark.parametrize("path", [TEST, PUBLISH], ids=lambda path: path.name)
def test_python__is_the_newest_elsewhere(path: Path) -> None:
    used = {step.get("with", {}).get("python-version") for step in steps(path)} - {None}
    assert used <= {pythons()[-1], "${{ matrix.python }}"}


def test_services__are_the_servers_of_the_tests() -> None:
    """``test_docs.py`` compares those with the table of the page Tests."""
    services = read(TEST)["jobs"]["test"]["services"]
    assert {name: service["image"].partition(":")[0] for name, service in services.items()} == (
        IMAGES
    )
    for name, port in SERVERS.items():
        assert services[name]["ports"] == [f"{port}:{port}"]
        assert "--health-cmd" in services[name]["options"], "a job is not to begin before it"


@pytest.mark.parametrize("path", [TEST, PUBLISH], ids=lambda path: path.name)
def test_permissions__are_to_read(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        expected = MAY_WRITE.get((path.name, name), {"contents": "read"})
        assert job.get("permissions", workflow["permissions"]) == expected, name


@pytest.mark.parametrize("path", [TEST, PUBLISH], ids=lambda path: path.name)
def test_actions__are_pinned_and_keep_no_credentials(path: Path) -> None:
    used = [step for step in steps(path) if "uses" in step]
    assert used
    for step in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"uses: \S+@\w{40} # v[\d.]+$", text, re.MULTILINE)) == len(used)


def test_publish__after_the_tests_of_a_tag() -> None:
    workflow = read(PUBLISH)
    assert workflow[True] == {"push": {"tags": ["v[0-9]*"]}}  # YAML's "on" is a truth value
    jobs = workflow["jobs"]
    assert jobs["test"]["uses"] == f"./{TEST.relative_to(REPOSITORY)}"
    assert "workflow_call" in read(TEST)[True]
    assert (jobs["build"]["needs"], jobs["publish"]["needs"]) == ("test", "build")
    assert "cache" not in str(jobs["build"])


def test_ruff__is_the_same_everywhere() -> None:
    [hooks] = [
        each for each in read(PRE_COMMIT)["repos"] if each["repo"].endswith("/ruff-pre-commit")
    ]
    extras = project()["project"]["optional-dependencies"]
    [required] = [Requirement(each) for each in extras["test"] if each.startswith("ruff")]
    revision = hooks["rev"].removeprefix("v")
    assert required.specifier.contains(revision)
    assert required.specifier.contains(version("ruff"))
    assert [hook["id"] for hook in hooks["hooks"]] == ["ruff-check", "ruff-format"]


def test_read_the_docs__builds_what_make_docs_does() -> None:
    config = read(READ_THE_DOCS)
    assert config["build"]["tools"]["python"] == pythons()[-1]
    [installed] = config["python"]["install"]
    assert set(installed["extra_requirements"]) <= set(
        project()["project"]["optional-dependencies"]
    )
    sphinx = config["sphinx"]
    assert (REPOSITORY / sphinx["configuration"]).exists()
    assert sphinx["fail_on_warning"] is True
    source = (REPOSITORY / "noxfile.py").read_text(encoding="utf-8")
    assert f'"-b", "{sphinx["builder"]}"' in source


def test_dependabot__looks_where_requirements_are() -> None:
    updates = read(DEPENDABOT)["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"github-actions", "pip"}
    assert {each["directory"] for each in updates} == {"/"}
    assert (REPOSITORY / "pyproject.toml").exists()


def test_scripts__that_are_called_can_be_executed() -> None:
    for name in re.findall(r"^\t@?(scripts/\S+\.sh)$", makefile(), re.MULTILINE):
        assert os.access(REPOSITORY / name, os.X_OK)


def test_addresses__are_those_of_one_repository() -> None:
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    for path in (REPOSITORY / "pyproject.toml", *pages, *ALL):
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"github(?:usercontent)?\.com/([\w.-]+/[\w.-]*async[_-]hooks)", text)
        assert set(named) <= {REPOSITORY_NAME}, path
    urls = project()["project"]["urls"].values()
    assert all(url.startswith(f"https://github.com/{REPOSITORY_NAME}") for url in urls)
