"""Tests of the pages about the Python API and the models: they are complete, and say what is so."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from types import ModuleType
from typing import Any

import pytest

import wagtail_async_hooks
from tests.project.test_docs import PYTHON, codes, page_named, table, text_of
from wagtail_async_hooks import models

PACKAGE = "wagtail_async_hooks"
DIRECTIVE = re.compile(r"^\.\. (py:\w+|auto\w+):: ([\w.]+)", re.MULTILINE)
MEMBERS = re.compile(
    r"^\.\. automodule:: ([\w.]+)\n   :members: ((?:.+\n)(?: {6}.+\n)*)", re.MULTILINE
)


def documented() -> set[str]:
    """Return the dotted paths that the page describes."""
    text = text_of(page_named("api"))
    found = {path for _, path in DIRECTIVE.findall(text)}
    for module, names in MEMBERS.findall(text):
        found |= {f"{module}.{name}" for name in re.findall(r"\w+", names)}
    return found


def functions() -> list[str]:
    """Return the functions, and the public methods of classes, whose docstrings the page shows."""
    text = text_of(page_named("api"))
    by_hand = {path for kind, path in DIRECTIVE.findall(text) if kind.startswith("py:")}
    return sorted(
        path for path in documented() - by_hand if inspect.isroutine(pkgutil.resolve_name(path))
    )


@pytest.mark.parametrize("name", sorted(set(wagtail_async_hooks.__all__) - {"__version__"}))
def test_api__has_all_public_names(name: str) -> None:
    path = f"{PACKAGE}.{name}"
    if isinstance(getattr(wagtail_async_hooks, name), ModuleType):
        assert any(each == path or each.startswith(f"{path}.") for each in documented())
    else:
        assert path in documented()


@pytest.mark.parametrize("path", sorted(documented()))
def test_api__names_exist(path: str) -> None:
    if path.startswith(f"{PACKAGE}.localize"):
        pytest.importorskip("wagtail_localize")
    pkgutil.resolve_name(path)


def imported() -> set[str]:
    """Return the dotted paths that examples import from the package."""
    return {
        f"{node.module}.{alias.name}"
        for block in PYTHON
        for node in ast.walk(ast.parse(block.code))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE)
        for alias in node.names
    }


@pytest.mark.parametrize("path", sorted(imported()))
def test_api__has_what_examples_import(path: str) -> None:
    name = path.removeprefix(f"{PACKAGE}.")
    if name.startswith("models."):
        assert f"## {name.removeprefix('models.')}\n" in text_of(page_named("models"))
    else:
        assert any(each == path or each.startswith(f"{path}.") for each in documented())


@pytest.mark.parametrize("path", functions())
def test_api__docstrings_begin_with_a_sentence(path: str) -> None:
    doc: Any = inspect.getdoc(pkgutil.resolve_name(path))
    assert doc
    first = doc.split("\n\n")[0]
    assert first[0].isupper()
    assert first.endswith(".")


SHOWN = {
    model: table("models", f"Field of `{model}`", "Meaning")
    for model in re.findall(r"Field of `(\w+)`", text_of(page_named("models")))
}


@pytest.mark.parametrize("model", SHOWN)
def test_models__fields_are_those_of_the_code(model: str) -> None:
    documented = {name for row in SHOWN[model] for name in codes(row[f"Field of `{model}`"])}
    assert documented == {field.name for field in getattr(models, model)._meta.fields}


def test_models__each_heading_is_a_model() -> None:
    headings = re.findall(r"^## (\w+)$", text_of(page_named("models")), re.MULTILINE)
    assert set(headings) == {*SHOWN, "BackgroundTask"}
