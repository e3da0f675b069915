"""Tests of the plain values about tasks: how logs name them."""

from __future__ import annotations

import pytest

from wagtail_async_hooks.types import TaskInfo


@pytest.mark.parametrize(
    ("hook", "name", "function", "told"),
    [
        ("", "site.tasks.count", "site.tasks.count", "site.tasks.count [task 7]"),
        (
            "",
            "site.tasks.own_name",
            "site.tasks.count",
            "site.tasks.own_name site.tasks.count [task 7]",
        ),
        ("after_x", "site.hooks.f@after_x", "site.hooks.f", "after_x site.hooks.f [task 7]"),
    ],
)
def test_task_info__as_text(hook: str, name: str, function: str, told: str) -> None:
    task = TaskInfo(7, "id", name, hook, function, "default", 0, 1)

    assert str(task) == told
