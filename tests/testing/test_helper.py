"""What tests of a site ask for: was a hook dispatched, was a task called, with which arguments."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from django.utils import timezone
from django_tasks import task as django_task
from wagtail.models import Page

from tests.work import tasks
from wagtail_async_hooks import background, hooks
from wagtail_async_hooks.testing import BackgroundTaskFailed, BackgroundTasks

TASKS = {"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}


@django_task
def double(number: int) -> int:
    """A task of ``TASKS``."""
    return 2 * number


def announce(request: HttpRequest, page: Page) -> None:
    """A background function."""


def fail_to_announce(request: HttpRequest, page: Page) -> None:
    """One that cannot do it."""
    raise ValueError("nobody listens")


@pytest.fixture
def page(db: None) -> Page:
    return Page.objects.get(depth=2)


@pytest.fixture
def announced(registries: None) -> Iterator[None]:
    """Let there be one background function."""
    with hooks.register_temporarily("after_publish_page", announce, background=True, priority=50):
        yield


def publish(request: HttpRequest, page: Page) -> None:
    """Call the function as Wagtail does."""
    for function in hooks.get_hooks("after_publish_page"):
        if getattr(function, "__wrapped__", None) in (announce, fail_to_announce):
            function(request, page)


@pytest.mark.usefixtures("announced")
def test_assert_hook_dispatched__with_arguments_and_options(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    publish(editor_request, page)

    [task] = background_tasks.assert_hook_dispatched(
        "after_publish_page",
        page=page,
        request=editor_request,
        user=editor_request.user,
        priority=50,
        function=announce,
        queue="default",
        times=1,
    )

    assert (task.hook, task.function, task.state) == (
        "after_publish_page",
        f"{__name__}.announce",
        "waiting",
    )
    assert task.arguments["page"] == page
    background_tasks.assert_hook_dispatched("after_publish_page", page=page.specific)
    background_tasks.assert_hook_not_dispatched("after_publish_page", priority=49)
    background_tasks.assert_hook_not_dispatched("after_edit_page")


@pytest.mark.usefixtures("announced")
@pytest.mark.parametrize(
    "expected",
    [
        {"page": Page(pk=4711)},
        {"priority": 1},
        {"queue": "slow"},
        {"function": "tests.other"},
        {"user": None},
        {"times": 2},
        {"request": HttpRequest()},
    ],
    ids=lambda expected: next(iter(expected)),
)
def test_assert_hook_dispatched__tells_what_was_recorded_instead(
    background_tasks: BackgroundTasks,
    editor_request: HttpRequest,
    page: Page,
    expected: dict[str, Any],
) -> None:
    publish(editor_request, page)

    with pytest.raises(AssertionError) as caught:
        background_tasks.assert_hook_dispatched("after_publish_page", **expected)

    [name] = expected
    wanted = f" with {name}=" if name != "times" else "should be 2 tasks of after_publish_page, but"
    assert wanted in str(caught.value)
    assert f"after_publish_page → {__name__}.announce(request=<Carried" in str(caught.value)
    assert f"page={page.specific!r}): waiting, priority 50, " in str(caught.value)


@pytest.mark.usefixtures("announced")
def test_assert_hook_not_dispatched__it_was(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    publish(editor_request, page)

    with pytest.raises(AssertionError, match="There should be no task of after_publish_page"):
        background_tasks.assert_hook_not_dispatched("after_publish_page", page=page)


@pytest.mark.usefixtures("registries")
def test_assert_hook_dispatched__nothing_runs_in_the_background_for_it(
    background_tasks: BackgroundTasks,
) -> None:
    with pytest.raises(AssertionError, match="no function of it runs in the background"):
        background_tasks.assert_hook_dispatched("after_move_page")


@pytest.mark.parametrize("name", ["assert_hook_dispatched", "assert_hook_not_dispatched"])
def test_assert_hook__mistyped(background_tasks: BackgroundTasks, name: str) -> None:
    ask = getattr(background_tasks, name)
    with pytest.raises(ValueError, match=r'"after_publish_pge" .* Did you mean "after_publish_pag'):
        ask("after_publish_pge")
    with pytest.raises(TypeError, match="after_publish_page has no argument 'pge'; known are: coa"):
        ask("after_publish_page", pge=1)


@pytest.mark.usefixtures("announced")
def test_arguments__of_an_object_that_is_gone(
    background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    child = page.add_child(instance=Page(title="A child"))
    publish(editor_request, child)
    child.delete()

    [task] = background_tasks.assert_hook_dispatched("after_publish_page", request=editor_request)

    assert repr(task.arguments["page"]) == "<its page was deleted>"
    background_tasks.assert_hook_not_dispatched("after_publish_page", page=page)
    assert [task.error for task in background_tasks.run()] == ["its page was deleted"]


def test_assert_task_enqueued__with_arguments_and_options(
    background_tasks: BackgroundTasks, page: Page
) -> None:
    tasks.add(1, b=2, priority=7)
    tasks.show([page, Page.objects.get(depth=1)])
    tasks.show_all(word="yes")

    background_tasks.assert_task_enqueued(tasks.add)
    background_tasks.assert_task_enqueued(tasks.add, 1, 2, priority=7, times=1)
    background_tasks.assert_task_enqueued(tasks.add, b=2)
    background_tasks.assert_task_enqueued(tasks.show, value=[page, Page.objects.get(depth=1)])
    background_tasks.assert_task_not_enqueued(tasks.show, value=[page])
    background_tasks.assert_task_not_enqueued(tasks.show, value=5)
    background_tasks.assert_task_not_enqueued(tasks.add, 2)
    background_tasks.assert_task_not_enqueued(tasks.add, priority=6)
    background_tasks.assert_task_not_enqueued(tasks.fail)
    assert str(background_tasks.recorded[0]) == (
        "tests.work.tasks.add(a=1, b=2): waiting, priority 7, queue 'default'"
    )
    assert background_tasks.recorded[2].arguments["word"] == "yes"
    background_tasks.assert_task_enqueued(tasks.show_all, word="yes")


def test_assert_task_enqueued__of_tasks(background_tasks: BackgroundTasks, settings: Any) -> None:
    settings.TASKS = TASKS
    double.enqueue(21)

    background_tasks.assert_task_enqueued(double, 21)
    background_tasks.assert_task_not_enqueued(double, number=22)
    assert [task.result for task in background_tasks.run()] == [42]


def test_assert_task_enqueued__mistyped(background_tasks: BackgroundTasks) -> None:
    with pytest.raises(TypeError, match=r"tests\.work\.tasks\.add has no argument 'c'; known are"):
        background_tasks.assert_task_enqueued(tasks.add, c=1)
    with pytest.raises(TypeError, match="is no task: give what"):
        background_tasks.assert_task_not_enqueued(tasks.greet)
    with pytest.raises(AssertionError, match=r"Nothing was recorded\.$"):
        background_tasks.assert_task_enqueued(tasks.add)


def test_recorded__only_what_came_since_the_beginning(db: None) -> None:
    tasks.add(1, 2)

    with BackgroundTasks() as recorded:
        tasks.add(3, 4)

        assert [task.arguments for task in recorded.recorded] == [{"a": 3, "b": 4}]


@pytest.mark.parametrize("backend", ["", "redis"])
def test_enter__lets_tasks_be_recorded_whatever_the_backend(
    db: None, settings: Any, backend: str
) -> None:
    options = {"url": "redis://0.0.0.0:1"} if backend else {}
    settings.WAGTAIL_TASKS = {"BACKEND": backend, "BACKEND_OPTIONS": options}

    with BackgroundTasks() as recorded:
        tasks.add(1, 2)
        assert [task.state for task in recorded.recorded] == ["waiting"]
        assert [task.result for task in recorded.run()] == [3]

    assert settings.WAGTAIL_TASKS["BACKEND"] == backend
    assert background.immediate is not bool(backend)


def test_travel_to__runs_what_is_due_by_then(background_tasks: BackgroundTasks) -> None:
    now = timezone.now()
    tasks.add.schedule((1, 2), delay=3600)
    tasks.add.schedule((3, 4), eta=now + datetime.timedelta(days=2))

    assert background_tasks.run() == []
    background_tasks.advance(1800)
    assert background_tasks.run() == []
    background_tasks.travel_to(now + datetime.timedelta(hours=1, minutes=1))
    assert [task.result for task in background_tasks.run()] == [3]
    background_tasks.travel_to(timezone.make_naive(now) + datetime.timedelta(days=2, minutes=1))
    assert [task.result for task in background_tasks.run()] == [7]


def test_travel_to__time_goes_forward_only(background_tasks: BackgroundTasks) -> None:
    background_tasks.advance(3600)

    with pytest.raises(ValueError, match="and time goes forward"):
        background_tasks.travel_to(timezone.now() + datetime.timedelta(minutes=59))
    with pytest.raises(ValueError, match=r"advance\(-1\): time goes forward only"):
        background_tasks.advance(-1)


def test_run__a_hook_that_fails(
    registries: None, background_tasks: BackgroundTasks, editor_request: HttpRequest, page: Page
) -> None:
    with hooks.register_temporarily("after_publish_page", fail_to_announce, background=True):
        publish(editor_request, page)

    background_tasks.assert_hook_dispatched("after_publish_page", function=fail_to_announce)
    with (
        hooks.register_temporarily("after_publish_page", fail_to_announce, background=True),
        pytest.raises(BackgroundTaskFailed, match=r"^A background task failed: after_publish"),
    ):
        background_tasks.run()
