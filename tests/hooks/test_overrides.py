"""Background functions that are not called for a while, or are called at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.dispatch import Signal
from django.http import HttpRequest
from wagtail.models import Page

from wagtail_async_hooks import hooks, receiver
from wagtail_async_hooks.hooks import overrides
from wagtail_async_hooks.testing import BackgroundTasks

shipped = Signal()
called: list[Any] = []


def publish_first(request: Any, page: Any) -> str:
    """A background function."""
    called.append(page)
    return "an answer"


def publish_second(request: Any, page: Any) -> None:
    """Another one."""
    called.append("second")


def fail_to_move(request: Any, page: Any) -> None:
    """A background function that raises an error."""
    raise ValueError("it does not move")


def on_shipped(sender: Any, signal: Signal, **kwargs: Any) -> None:
    """A receiver."""
    called.append(signal)


@pytest.fixture(autouse=True)
def registered(registries: None) -> Iterator[None]:
    """Let there be two hooks with background functions, and a receiver."""
    receiver(shipped, background=True)(on_shipped)
    published = [("after_publish_page", publish_first), ("after_publish_page", publish_second)]
    moved = [("after_move_page", fail_to_move)]
    with hooks.register_temporarily(published + moved, background=True):
        yield
    shipped.receivers.clear()
    shipped.sender_receivers_cache.clear()
    called.clear()


@pytest.fixture
def page(db: None) -> Page:
    return Page.objects.get(depth=2)


def fire(request: HttpRequest, page: Page, *names: str) -> list[Any]:
    """Call the functions above as Wagtail and Django do."""
    shipped.send(sender=Page)
    ours = (publish_first, publish_second, fail_to_move)
    return [
        function(request, page)
        for name in names or ("after_publish_page",)
        for function in hooks.get_hooks(name)
        if getattr(function, "__wrapped__", None) in ours
    ]


def functions_of(tasks: BackgroundTasks) -> list[str]:
    """Return the names of the functions that were recorded."""
    return sorted(task.function.rpartition(".")[2] for task in tasks.recorded)


ALL = ["on_shipped", "publish_first", "publish_second"]


def test_suppress__all(
    background_tasks: BackgroundTasks,
    editor_request: HttpRequest,
    page: Page,
    caplog: pytest.LogCaptureFixture,
    django_assert_num_queries: Any,
) -> None:
    caplog.set_level(logging.DEBUG, "wagtail_async_hooks.hooks.dispatch")

    with hooks.suppress(), django_assert_num_queries(0):
        assert fire(editor_request, page) == [None, None]

    assert background_tasks.recorded == called == []
    assert [record.levelname for record in caplog.records] == ["DEBUG"] * 3
    assert f"after_publish_page {__name__}.publish_first" in caplog.text
    fire(editor_request, page)
    assert functions_of(background_tasks) == ALL


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("after_publish_page", ["on_shipped"]),
        ("shipped", ["publish_first", "publish_second"]),
        (publish_first, ["on_shipped", "publish_second"]),
        (f"{__name__}.publish_second", ["on_shipped", "publish_first"]),
        ("after_move_page", ALL),
    ],
)
def test_suppress__those_that_are_named(
    background_tasks: BackgroundTasks,
    editor_request: HttpRequest,
    page: Page,
    name: Any,
    left: list[str],
) -> None:
    with hooks.suppress(name):
        fire(editor_request, page)

    assert functions_of(background_tasks) == left


def test_suppress__what_the_settings_keep_in_the_request_as_well(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page, settings: Any
) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = ["after_publish_page"]

    with hooks.suppress():
        fire(editor_request, page)

    assert called == []


@pytest.mark.usefixtures("immediate")
def test_suppress__in_immediate_mode(editor_request: HttpRequest, page: Page) -> None:
    with hooks.suppress(publish_first):
        fire(editor_request, page)

    assert called == [shipped, "second"]


def test_synchronous__is_as_without_the_background(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    with hooks.synchronous():
        assert fire(editor_request, page) == ["an answer", None]
        with pytest.raises(ValueError, match="it does not move"):
            fire(editor_request, page, "after_move_page")

    assert called == [shipped, page, "second", shipped]
    assert called[1] is page
    assert background_tasks.recorded == []


def test_switches__the_innermost_counts(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    with hooks.suppress(), hooks.synchronous(publish_first), hooks.suppress("shipped"):
        fire(editor_request, page)
    with hooks.synchronous(publish_first), hooks.suppress("after_publish_page"):
        fire(editor_request, page)

    assert called == [page]
    assert functions_of(background_tasks) == ["on_shipped"]


def test_switches__as_decorators(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    @hooks.suppress("after_publish_page")
    def load(depth: int) -> str:
        """Load something."""
        fire(editor_request, page)
        return load(depth - 1) if depth else "loaded"

    assert load(1) == "loaded"
    assert load.__doc__ == "Load something."
    assert functions_of(background_tasks) == ["on_shipped", "on_shipped"]


def test_switches__of_coroutines_that_overlap(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    async def loads() -> None:
        both = asyncio.Barrier(2)

        @hooks.suppress()
        async def suppressed() -> None:
            await both.wait()
            await sync_to_async(fire)(editor_request, page)
            await both.wait()

        async def ordinary() -> None:
            await both.wait()
            await both.wait()
            await sync_to_async(shipped.send)(sender=Page)

        await asyncio.gather(suppressed(), ordinary())

    async_to_sync(loads)()

    assert functions_of(background_tasks) == ["on_shipped"]


@pytest.mark.usefixtures("immediate")
def test_switches__are_not_on_in_other_threads() -> None:
    with hooks.suppress():
        thread = threading.Thread(target=shipped.send, kwargs={"sender": Page})
        thread.start()
        thread.join()

    assert called == [shipped]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("after_publish_pge", r'suppress\("after_publish_pge"\): .* Did you mean "after_publish_'),
        (test_suppress__all, "neither a hook or signal nor a function that runs in the background"),
        ("register_admin_urls", "neither a hook or signal nor a function"),
    ],
)
def test_switches__what_there_is_not(name: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        hooks.suppress(name).__enter__()


def test_switches__what_cannot_be_decorated() -> None:
    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"synchronous\(\) cannot decorate a generator; use “with"):
        hooks.synchronous()(generator)
    for wrong in (type("Case", (), {}), classmethod(fire), 5):
        with pytest.raises(TypeError, match=r"suppress\(\) decorates a function, but got .*below"):
            hooks.suppress()(wrong)


def test_switches__without_brackets() -> None:
    @hooks.suppress
    def load() -> None:
        """It is not called."""

    with pytest.raises(TypeError, match=r"but got nothing: write @hooks\.suppress\(\) with its"):
        load()


@pytest.mark.parametrize("switch", [hooks.suppress, hooks.synchronous])
def test_switches__are_off_after_an_error(switch: Any) -> None:
    with pytest.raises(KeyError), switch():
        raise KeyError
    with switch("shipped"):
        pass

    assert overrides.mode_of("shipped", "") is None
