"""What a site writes, and what type checkers are to make of it: nothing to complain about."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, assert_type

from django.core.management import BaseCommand
from django.db.models import Model, QuerySet
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal
from django.http import HttpRequest

from wagtail_async_hooks import (
    Snooze,
    __version__,
    aprogress,
    arguments,
    background,
    background_task,
    catalogue,
    commands,
    control,
    hooks,
    pausing,
    progress,
    receiver,
    schedule,
    signals,
    track,
    went_live,
)
from wagtail_async_hooks.exceptions import BackgroundError, NotCarried, TimedOut
from wagtail_async_hooks.health import background_health
from wagtail_async_hooks.models import BackgroundTask as TaskRow
from wagtail_async_hooks.testing import BackgroundTasks, RecordedTask, run_background_tasks
from wagtail_async_hooks.types import Alert, Progress, TaskInfo

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


# The rest of the public names ---------------------------------------------------------------


class Money:
    """What a site passes to tasks, and JSON does not know."""

    cents = 0


def encode(money: Money) -> int:
    """Return what is stored."""
    return money.cents


class Quiet(BaseCommand):
    """A command that stands in for another one."""


def prepare() -> None:
    """What an app does when it is ready."""
    arguments.register(Money, encode, lambda stored: Money())
    catalogue.add("after_order_is_paid", ["request", "order"], draft=False)
    commands.register("import_orders", Quiet)
    commands.register("import_orders", "shop.commands.Quiet")


def operate(order: Model) -> list[TaskRow]:
    """What a site does to its tasks."""
    failed = control.select(hook="after_publish_page", state=["failed"], subject=order)
    assert_type(failed, QuerySet[TaskRow, TaskRow])
    assert_type(control.retry(failed), int)
    assert_type(control.cancel([1, 2], reason="not wanted"), int)
    assert_type(control.run_now(failed), int)
    assert_type(control.discard(failed), int)
    if pausing.pause(queue="slow", reason="the service is down"):
        assert_type(pausing.resume(queue="slow"), bool)
    paused: list[object] = [*pausing.paused(), __version__.upper()]
    assert paused
    for entry in schedule.entries():
        assert_type(entry.next_due_at, datetime.datetime | None)
        assert_type(schedule.run_now(entry.name), int | None)
    assert_type(went_live(order), bool)
    assert_type(background_task.task_id, str)
    assert_type(background_task.attempt, int)
    return list(failed)


async def report() -> None:
    """A coroutine that says how far it is."""
    await aprogress(1, total=2, note="half")


def listen(sender: str, task: TaskInfo, progress: Progress) -> str:
    """Receive a signal of a task."""
    return f"{task.function} {progress.done}"


signals.progressed.connect(listen)


def send(alert: Alert) -> list[str]:
    """What `WAGTAIL_TASKS["ALERTS"]["to"]` names."""
    return [problem.title for problem in alert.problems]


def why(error: BackgroundError) -> str:
    """Errors have classes."""
    return "late" if isinstance(error, TimedOut) else str(isinstance(error, NotCarried))


def test_tasks() -> None:
    """What a site's tests use."""
    ran = run_background_tasks()
    assert_type(ran, list[RecordedTask])
    with BackgroundTasks() as tasks:
        tasks.advance(seconds=60)
        assert_type(tasks.recorded, list[RecordedTask])
        tasks.assert_hook_dispatched("after_publish_page")


health_view = background_health
