"""Fixtures: pages to index, and a site that reports each step."""

from __future__ import annotations

from typing import Any

import pytest
from wagtail.models import Page

from tests.site.blog.models import Author, BlogPage, HomePage
from wagtail_async_hooks import background, signals
from wagtail_async_hooks.integrations.commands import run_command
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.queue import progress as reporting
from wagtail_async_hooks.types import Progress


def make_pages(number: int) -> list[BlogPage]:
    """Return some pages, each of which refers to an author."""
    root = Page.get_first_root_node()
    home = root.add_child(instance=HomePage(title="Indexed", slug="indexed"))
    author = Author.objects.create(name="Ada")
    pages = [BlogPage(title=f"Tide {n}", introduction="High", author=author) for n in range(number)]
    return [home.add_child(instance=page) for page in pages]


@pytest.fixture
def pages(db: None) -> list[BlogPage]:
    """Seven pages."""
    return make_pages(7)


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Any:
    """All that is reported."""
    monkeypatch.setattr(reporting, "INTERVAL", 0)
    steps: list[Progress] = []

    def listen(sender: str, *, task: Any, progress: Progress) -> None:
        steps.append(progress)

    with signals.progressed.connected_to(listen):
        yield steps


def run(name: str, **options: Any) -> BackgroundTask:
    """Run a command as a task; return its row."""
    run_command(name, **options)
    background.execute(background.next())
    return BackgroundTask.objects.latest("pk")


def run_and_cancel(name: str, after: int, **options: Any) -> BackgroundTask:
    """Run a command as a task, and cancel it once so much is done; return its row."""

    def listen(sender: str, *, task: Any, progress: Progress) -> None:
        if progress.done >= after:
            control.cancel([task.pk])

    with signals.progressed.connected_to(listen):
        return run(name, **options)
