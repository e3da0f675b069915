"""Tests of the catalogue: it says what Wagtail's own code does."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import wagtail

from wagtail_async_hooks.hooks import catalogue
from wagtail_async_hooks.hooks.catalogue import BACKGROUND_SAFE

WAGTAIL = Path(wagtail.__file__).parent


def sources() -> Iterator[Path]:
    for path in sorted(WAGTAIL.rglob("*.py")):
        if not {"tests", "test", "migrations"} & set(path.relative_to(WAGTAIL).parts):
            yield path


@cache
def fired() -> frozenset[str]:
    """Return the hooks that Wagtail's own code fires, by their names in it."""
    names: set[str] = set()
    for path in sources():
        text = path.read_text(encoding="utf-8")
        if "hook" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.update(re.findall(r"^(?:after|before)_[a-z_]+$", node.value))
    return frozenset(names)


@pytest.mark.parametrize("hook", BACKGROUND_SAFE)
def test_background_safe__is_fired_by_wagtail(hook: str) -> None:
    assert hook in fired()


def test_background_safe__lacks_nothing_that_comes_after() -> None:
    afterwards = {hook for hook in fired() if hook.startswith("after_")}

    assert afterwards - set(BACKGROUND_SAFE) == set()


@pytest.mark.parametrize("hook", BACKGROUND_SAFE)
def test_background_safe__passes_the_request_first(hook: str) -> None:
    assert BACKGROUND_SAFE[hook].arguments[0] == "request"


def test_background_safe__what_is_deleted_is_carried_whole() -> None:
    deleted = {hook for hook, kind in BACKGROUND_SAFE.items() if kind.deleted}

    assert deleted == {"after_delete_page", "after_delete_snippet", "after_delete_user"}


@pytest.mark.parametrize("hook", ["after_publish_page", "after_bulk_action"])
def test_is_background_safe__what_tells_of_something_done(hook: str) -> None:
    assert catalogue.kind_of(hook)


@pytest.mark.parametrize(
    "hook",
    ["before_publish_page", "register_admin_urls", "construct_main_menu", "after_tea", ""],
)
def test_is_background_safe__gates_and_questions_are_not(hook: str) -> None:
    assert catalogue.kind_of(hook) is None


def test_kind_of__returns_what_is_known() -> None:
    assert catalogue.kind_of("after_copy_page").arguments == ("request", "page", "new_page")
