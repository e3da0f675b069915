"""Tests of the keys of calls: of hooks, receivers and background tasks."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.dispatch import Signal
from django.utils import timezone
from huey import crontab
from wagtail.models import Page

from tests.site.blog.models import Author, BlogPage, HomePage
from wagtail_async_hooks import background, hooks, receiver
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.hooks import registry
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import keys
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.types import State

HOOK = "after_publish_page"
filed, shelved = Signal(), Signal()
"""Signals of a site's own."""
SECOND = datetime.timedelta(seconds=1)


def by_slug(request: Any, page: Any) -> str:
    """A key, from the arguments of a hook."""
    return f"slug {page.slug}"


def see_page(request: Any, page: Any) -> None:
    """Do nothing."""


def see_pages(request: Any, instances: Any) -> None:
    """Do nothing."""


def hear(sender: Any, instance: Any, **kwargs: Any) -> None:
    """Do nothing."""


def by_sender(sender: Any, instance: Any, **kwargs: Any) -> str:
    """A key, from the arguments of a signal."""
    return f"{sender.__name__} {instance.slug}"


@pytest.fixture
def page(db: None) -> BlogPage:
    """A post below a front page."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    return home.add_child(instance=BlogPage(title="Tides", slug="tides", introduction="High"))


@pytest.fixture
def define(registries: None) -> Callable[..., Any]:
    """Make a background task of a function; afterwards it is forgotten."""

    def define(function: Callable[..., Any], **options: Any) -> Any:
        return background.task(**options)(function)

    return define


def fire(hook: str, *arguments: Any) -> BackgroundTask:
    """Call the hook's functions of this module; return the row of the last task."""
    for function in hooks.get_hooks(hook):
        if function.__module__ == __name__:
            function(*arguments)
    return last()


def last() -> BackgroundTask:
    """Return the row of the task that was recorded last."""
    return BackgroundTask.objects.latest("pk")


def waits(row: BackgroundTask) -> tuple[float, float]:
    """Return after how many seconds a task is to run, and after how many at the latest."""
    assert row.run_at is not None
    assert row.latest_at is not None
    made = row.enqueued_at
    return round((row.run_at - made) / SECOND), round((row.latest_at - made) / SECOND)


# Background tasks ---------------------------------------------------------------------------


def copy(page: Any, into: str = "archive", **options: Any) -> None:
    """Do nothing."""


@pytest.mark.django_db
@pytest.mark.parametrize("option", ["coalesce", "exclusive"])
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{page.slug} {into}", "tides archive"),
        ("{page.slug} {depth}", "tides 3"),
        (lambda page, into, depth: (page.slug, into, depth), "('tides', 'archive', 3)"),
        (lambda **arguments: " ".join(arguments), "page into depth"),
        (lambda **arguments: None, ""),
        ("{no_such_thing}", ""),
        (None, ""),
    ],
)
def test_task__keys_are_made_of_its_arguments_by_name(
    page: BlogPage, define: Callable[..., Any], option: str, template: Any, expected: str
) -> None:
    task = define(copy, **{option: template})

    task(page, depth=3)

    assert getattr(last(), f"{option}_key") == expected
    assert (last().state, last().latest_at) == (State.WAITING, None)


@pytest.mark.django_db
def test_task__keys_of_what_follows_in_a_pipeline(define: Callable[..., Any]) -> None:
    def double(number: int, then: int = 0) -> int:
        return 2 * number

    task = define(double, exclusive="{number} {then}", name="double")
    background.enqueue(task.s(3).then(task, 1))
    assert last().exclusive_key == "3 0"

    background.execute(background.next())

    assert last().exclusive_key == "1 6"


@pytest.mark.django_db
def test_task__of_a_coroutine_that_is_told_of_its_task(define: Callable[..., Any]) -> None:
    async def wait(word: str, task: Any) -> None:
        """Do nothing."""

    define(wait, coalesce="{word}", context=True)("a word")

    assert last().coalesce_key == "a word"


@pytest.mark.django_db
def test_task__arguments_that_do_not_fit_are_for_the_call_to_tell(
    define: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    define(copy, coalesce="{page}")("a", "b", "c")

    assert last().coalesce_key == ""
    assert f"coalesce= of {__name__}.copy" in caplog.text


@pytest.mark.django_db
def test_task__merged_like_a_hooks(define: Callable[..., Any]) -> None:
    ran = []

    def note(word: str, key: int) -> None:
        ran.append(word)

    task = define(note, coalesce="{key}")
    for word, key in (("a", 1), ("b", 2), ("c", 1)):
        task(word, key)
    while (claimed := background.next()) is not None:
        background.execute(claimed)

    assert ran == ["c", "b"]


@pytest.mark.django_db
def test_task__a_key_that_it_was_given_stays(define: Callable[..., Any]) -> None:
    made = define(copy, coalesce="{into}").s("a page")
    made.submission.coalesce_key = "another"

    background.enqueue(made)

    assert last().coalesce_key == "another"


@pytest.mark.django_db
@pytest.mark.parametrize(("options", "longest"), [({}, 50), ({"debounce_max": 20}, 20)])
def test_task__debounced_by_its_first_object(
    page: BlogPage, define: Callable[..., Any], options: Any, longest: int
) -> None:
    task = define(copy, debounce=5, **options)

    for argument in (page, Page.objects.get(pk=page.pk)):
        task("first", argument)
        assert last().coalesce_key == f"wagtailcore.page {page.pk}"
        assert waits(last()) == (5, longest)
        assert last().state == State.SCHEDULED


@pytest.mark.django_db
def test_task__debounced_and_delayed_waits_for_both(define: Callable[..., Any]) -> None:
    task = define(copy, coalesce="{page}", debounce=5, debounce_max=20, expires=7)

    for delay, expected in ((2, (5, 20)), (9, (9, 20)), (40, (40, 40))):
        task.schedule(args=("a",), delay=delay)
        assert waits(last()) == expected
    made = task.s("a")
    background.enqueue(made)
    left = made.expires_resolved.replace(tzinfo=datetime.UTC) - timezone.now()
    assert 7 < left / SECOND <= 12  # seven seconds, once it might have been begun


@pytest.mark.django_db
def test_task__debounced_without_a_key_is_not_and_says_so(
    define: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    task = define(copy, debounce=5)

    task("a page")

    assert (last().coalesce_key, last().state, last().run_at) == ("", State.WAITING, None)
    assert f"debounce= of {__name__}.copy needs coalesce= as well" in caplog.text


def test_give_keys__no_key_of_what_is_not_saved(caplog: pytest.LogCaptureFixture) -> None:
    """Objects that are deleted have no primary key either: their tasks are not one burst."""
    task = QueuedTask()

    keys.give_keys(task, TaskOptions(debounce=5), {"author": Author(name="Ada")}, "a function")

    assert (task.submission.coalesce_key, task.eta) == ("", None)
    assert "debounce= of a function needs coalesce= as well" in caplog.text


@pytest.mark.django_db
def test_task__a_blank_key_is_not_debounced(
    define: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    define(copy, debounce=5, coalesce=lambda page, into: None)("a page")

    assert last().state == State.WAITING
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"coalesce": 5}, 'coalesce=…) of copy() should be a template such as "{page.pk}"'),
        ({"debounce": "5"}, "debounce=…) of copy() should be a number of seconds of at least 0"),
        ({"debounce_max": 5}, "debounce_max=…) of copy() should be given together with debounce"),
        (
            {"debounce": 9, "debounce_max": 5},
            "debounce_max=…) of copy() should be no less than debounce, which is 9, but is 5.",
        ),
    ],
)
def test_task__mistakes_are_told_at_once(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError) as raised:
        background.task(**options)(copy)

    assert f"@background.task({problem}" in str(raised.value)


@pytest.mark.parametrize("option", ["coalesce", "debounce", "debounce_max"])
def test_periodic_task__is_not_merged(option: str) -> None:
    with pytest.raises(TypeError, match=rf"periodic_task\({option}=…\) cannot be given"):
        background.periodic_task(crontab(), **{option: 5})


# Hooks and receivers ------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("option", ["coalesce", "exclusive"])
def test_hook__a_callable_gets_the_arguments(page: BlogPage, option: str) -> None:
    hooks.register(HOOK, see_page, background=True, **{option: by_slug})  # type: ignore[arg-type]

    assert getattr(fire(HOOK, None, page), f"{option}_key") == "slug tides"


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_receiver__a_callable_gets_the_arguments(page: BlogPage) -> None:
    receiver(filed, background=True, coalesce=by_sender, exclusive=by_sender)(hear)

    filed.send(BlogPage, instance=page)

    assert (last().coalesce_key, last().exclusive_key) == ("BlogPage tides", "BlogPage tides")


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_hook__debounced(page: BlogPage) -> None:
    hooks.register(HOOK, see_page, background=True, debounce=5, debounce_max=60, delay=1)

    row = fire(HOOK, None, page)

    assert (row.coalesce_key, *waits(row)) == (f"wagtailcore.page {page.pk}", 5, 60)


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_receiver__debounced(page: BlogPage) -> None:
    receiver(shelved, background=True, debounce=5)(hear)

    shelved.send(BlogPage, instance=page)

    row = last()
    assert (row.coalesce_key, *waits(row)) == (f"wagtailcore.page {page.pk}", 5, 50)


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"debounce": 8, "debounce_max": 30}, (8, 30)),
        ({"debounce_max": 30}, (5, 30)),
        ({"debounce": 90}, (90, 90)),  # longer than the code's maximum
        ({"coalesce": "{page.slug}"}, (5, 60)),
    ],
)
def test_hook__debounced_by_the_settings(
    page: BlogPage, settings: Any, given: dict[str, Any], expected: tuple[int, int]
) -> None:
    hooks.register(HOOK, see_page, background=True, debounce=5, debounce_max=60)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {HOOK: given}}

    row = fire(HOOK, None, page)

    assert waits(row) == expected
    key = "tides" if "coalesce" in given else f"wagtailcore.page {page.pk}"
    assert row.coalesce_key == key


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_hook__the_settings_may_turn_it_off(page: BlogPage, settings: Any) -> None:
    hooks.register(HOOK, see_page, background=True, debounce=5)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {HOOK: {"debounce": 0}}}

    row = fire(HOOK, None, page)

    assert (row.state, row.coalesce_key, row.latest_at) == (State.WAITING, "", None)


@pytest.mark.django_db
@pytest.mark.usefixtures("registries")
def test_hook__of_a_list_needs_a_key(page: BlogPage, caplog: pytest.LogCaptureFixture) -> None:
    hooks.register("after_delete_snippet", see_pages, background=True, debounce=5)

    row = fire("after_delete_snippet", None, [])

    assert (row.state, row.coalesce_key) == (State.WAITING, "")
    assert f"debounce= of after_delete_snippet {__name__}.see_pages (" in caplog.text
    assert "needs coalesce= as well" in caplog.text


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"debounce": -1}, "debounce=…) should be a number of seconds of at least 0, but is -1"),
        ({"debounce_max": 5}, "debounce_max=…) should be given together with debounce, but is 5"),
        (
            {"debounce": 9, "debounce_max": 5},
            "debounce_max=…) should be no less than debounce, which is 9, but is 5",
        ),
    ],
)
def test_hook__mistakes_are_told_at_once(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError) as raised:
        hooks.register(HOOK, see_page, background=True, **options)

    assert problem in str(raised.value)
    assert not any(hook == HOOK and __name__ in path for hook, path in registry.entries)
