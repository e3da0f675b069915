"""What a site writes, and what type checkers are to make of it: nothing to complain about."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, assert_type

from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal
from django.http import HttpRequest

from wagtail_async_hooks import (
    Snooze,
    background,
    background_task,
    hooks,
    progress,
    receiver,
    signals,
    track,
)

if TYPE_CHECKING:
    from wagtail_async_hooks.queue.task_types import BackgroundTask, CoroutineTask, Result


class Page:
    """Stands for a site's page, since Wagtail has no types."""

    title: str
    pk: int


# Hooks return what they got -----------------------------------------------------------------


@hooks.register(
    "after_publish_page",
    background=True,
    priority=5,
    queue="slow",
    retries=3,
    retry_delay=10,
    retry_on=[OSError],
    coalesce="{page.pk}",
    title="Tell the world about {page}",
)
def post_to_chat(request: HttpRequest, page: Page) -> str:
    """A background hook."""
    for number in track(range(3)):
        progress(number, 3, "telling")
    if background_task.is_superseded:
        raise Snooze(10)
    return page.title


@hooks.register("after_edit_page", order=10)
def remember_editor(request: HttpRequest, page: Page) -> None:
    """A synchronous one."""


@hooks.register("after_move_page", background=True, exclusive="shop")
async def push_to_shop(request: HttpRequest, page: Page) -> int:
    """A coroutine function."""
    return page.pk


def use_hooks(request: HttpRequest, page: Page) -> None:
    """The functions are what they were."""
    assert_type(post_to_chat(request, page), str)
    remember_editor(request=request, page=page)
    called = hooks.register("after_copy_page", post_to_chat, background=True, order=3)
    assert_type(called(request, page), str)
    with hooks.suppress("after_publish_page", post_to_chat):
        pass
    with hooks.register_temporarily("after_copy_page", post_to_chat, background=True):
        pass


# Receivers ----------------------------------------------------------------------------------

order_paid = Signal()


@receiver(post_save, background=True, sender=None, debounce=10, debounce_max=60)
def saved(sender: type[Page], instance: Page, **kwargs: Any) -> int:
    """A background receiver."""
    return instance.pk


@receiver([post_delete, order_paid], dispatch_uid="paid")
def paid(sender: type[Page], **kwargs: Any) -> None:
    """A synchronous one, of two signals."""


def use_receivers(page: Page) -> None:
    """The functions are what they were."""
    assert_type(saved(Page, page), int)
    paid(sender=Page)


# Tasks --------------------------------------------------------------------------------------


@background.task()
def count_words(text: str, *, least: int = 1) -> int:
    """A task."""
    return len([word for word in text.split() if len(word) >= least])


@background.task(
    retries=3,
    retry_delay=10,
    priority=7,
    queue="slow",
    expires=datetime.timedelta(hours=1),
    timeout=30,
    coalesce="{text}",
    title="Translate",
    explain={OSError: "The service is away"},
    side_effect="money",
    forget_arguments=True,
    discard_on=ValueError,
    name="translate",
)
async def translate(text: str, language: str) -> list[str]:
    """A coroutine function."""
    return [text, language]


@background.task(context=True)
def with_its_task(number: int, task: Any = None) -> float:
    """A task that gets its task."""
    return number / 2


@background.periodic_task("*/5 * * * *", time_zone="Europe/Berlin", priority=3)
def tidy() -> None:
    """What recurs."""


def use_tasks() -> None:
    """Calls of tasks."""
    result = count_words("one two", least=2)
    assert_type(result.get(blocking=True, timeout=5), int)
    assert_type(result(), "int | None")
    assert_type(result.id, str)
    assert_type(count_words.call_local("one two"), int)
    count_words("one two", priority=50)
    count_words("one two", delay=60)
    background.enqueue_many(
        [count_words.s("one"), count_words.s("two", eta=datetime.datetime.now())]
    )
    assert_type(count_words.schedule(("one",), delay=5).get(True), int)
    for each in count_words.map(["one", "two"]).get(blocking=True):
        assert_type(each, int)
    assert_type(translate("one", language="de").get(blocking=True), list[str])
    assert_type(with_its_task(3).get(blocking=True), float)
    tidy()
    count_words.revoke()


async def use_coroutines() -> None:
    """What is awaited."""
    assert_type(await translate.call_local("one", "de"), list[str])


def take(task: BackgroundTask[[str], int], result: Result[int]) -> CoroutineTask[..., list[str]]:
    """The types can be named."""
    task("one")
    return translate


def alert(sender: str, **kwargs: Any) -> None:
    """For the signals of tasks."""


signals.failed.connect(alert, sender="after_publish_page")


def lengths(texts: Iterable[str]) -> list[int]:
    """What goes through a task's own function keeps its types."""
    return [count_words.func(text) for text in texts]
