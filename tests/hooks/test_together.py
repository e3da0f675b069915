"""Tests of the functions of one hook: what they enqueue is one INSERT, as long as that is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from wagtail.models import Page

from tests import obstacles
from tests.draining import run_all
from tests.site.blog.models import Advert, BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import hooks, signals
from wagtail_async_hooks.hooks import catalogue
from wagtail_async_hooks.models import BackgroundTask

HOOK = "after_create_page"
"""A hook for which the demo site has no function of its own."""

PUBLISH = "after_publish_page"
TABLE = f'"{BackgroundTask._meta.db_table}"'

calls: list[str] = []
"""Which of the functions below were called."""


def one(*args: Any) -> None:
    """Be called."""
    calls.append("one")


def two(*args: Any) -> None:
    """Be called."""
    calls.append("two")


def three(*args: Any) -> None:
    """Be called."""
    calls.append("three")


def four(*args: Any) -> None:
    """Be called."""
    calls.append("four")


def five(*args: Any) -> None:
    """Be called."""
    calls.append("five")


def remember_address(request: Any, page: Page) -> None:
    """Keep where the request came from."""
    calls.append(request.META["REMOTE_ADDR"])


def remember_address_too(request: Any, page: Page) -> None:
    """Keep where the request came from, as well."""
    calls.append(request.META["REMOTE_ADDR"])


FIVE: tuple[Callable[..., None], ...] = (one, two, three, four, five)

pytestmark = [pytest.mark.usefixtures("registries"), pytest.mark.database]


@pytest.fixture(autouse=True)
def no_calls() -> None:
    """Forget the calls of earlier tests."""
    calls.clear()


@pytest.fixture
def editor(committed_db: None) -> Iterator[Any]:
    """A user who may edit everything."""
    user = get_user_model().objects.create_superuser("row-editor", "editor@example.com", "demo")
    yield user
    user.delete()


@pytest.fixture
def page(committed_db: None) -> Iterator[BlogPage]:
    """A post below a front page."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="Row", slug="row"))
    page = home.add_child(
        instance=BlogPage(title="Tides", slug="tides", introduction="High and low")
    )
    BackgroundTask.objects.all().delete()
    yield page
    HomePage.objects.get(slug="row").delete()


@pytest.fixture
def arguments(page: BlogPage, rf: RequestFactory, editor: Any) -> tuple[Any, Any]:
    """What Wagtail calls the functions of the hook with."""
    request = rf.post("/")
    request.user = editor
    request.resolver_match = resolve(reverse("wagtailadmin_home"))  # a view answers it
    return request, page


def register(*functions: Callable[..., Any], hook: str = HOOK, **options: Any) -> None:
    """Register functions that run in the background."""
    for function in functions:
        hooks.register(hook, function, background=True, **options)


def fire(args: tuple[Any, ...], hook: str = HOOK) -> Any:
    """Call the functions of a hook as Wagtail does."""
    for function in hooks.get_hooks(hook):
        result = function(*args)
        if hasattr(result, "status_code"):
            return result
    return None


def inserts(queries: CaptureQueriesContext) -> list[str]:
    """Return the statements that enqueue tasks."""
    table = BackgroundTask._meta.db_table
    return [q["sql"] for q in queries.captured_queries if f"INSERT INTO {table}" in q["sql"]]


def enqueued() -> list[str]:
    """Return the names of the functions whose tasks there are, oldest first."""
    rows = BackgroundTask.objects.filter(function__startswith=f"{__name__}.").order_by("pk")
    return [row.function.rpartition(".")[2] for row in rows]


def test_publish__five_functions_are_one_insert(
    page: BlogPage, client: Client, editor: Any
) -> None:
    client.force_login(editor)
    register(*FIVE, hook=PUBLISH, order=1000)

    with hooks.suppress("after_edit_page"), CaptureQueriesContext(connection) as queries:
        client.post(
            reverse("wagtailadmin_pages:edit", args=[page.pk]), form_data(page, publish=True)
        )

    names = [f"{__name__}.{function.__name__}" for function in FIVE]
    [together] = [sql for sql in inserts(queries) if f"{__name__}.one" in sql]
    assert all(name in together for name in names)
    assert enqueued() == [function.__name__ for function in FIVE]
    assert calls == []
    run_all()
    assert calls == [function.__name__ for function in FIVE]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_fire__each_is_enqueued_once_whenever_the_hook_is_fired(
    arguments: Any, in_transaction: bool
) -> None:
    register(*FIVE)

    for times in (1, 2):
        with CaptureQueriesContext(connection) as queries:
            if in_transaction:
                with transaction.atomic():
                    fire(arguments)
            else:
                fire(arguments)
        assert len(inserts(queries)) == 1
        assert enqueued() == ["one", "two", "three", "four", "five"] * times


def test_fire__each_is_announced_in_its_turn(arguments: Any) -> None:
    told = []
    register(one, two)
    with signals.enqueued.connected_to(lambda sender, task: told.append(task.function)):
        fire(arguments)
    assert told == [f"{__name__}.one", f"{__name__}.two"]
    assert (
        list(BackgroundTask.objects.order_by("pk").values_list("subject_id", flat=True))
        == [str(arguments[1].pk)] * 2
    )


# What may not be enqueued ahead -------------------------------------------------------------


def test_fire__a_response_between_them_ends_the_loop(arguments: Any) -> None:
    register(one, two)
    hooks.register(HOOK, lambda *args: HttpResponse("stop"))
    register(three)

    assert fire(arguments).content == b"stop"
    assert enqueued() == ["one", "two"]
    hooks.get_hooks(HOOK)[-1](*arguments)
    assert enqueued() == ["one", "two", "three"]


def test_fire__an_error_between_them_ends_the_loop(arguments: Any) -> None:
    def fail(*args: Any) -> None:
        assert enqueued() == ["one"]
        raise ValueError("no luck")

    register(one)
    hooks.register(HOOK, fail)
    register(two)

    with pytest.raises(ValueError, match="no luck"):
        fire(arguments)
    assert enqueued() == ["one"]


def test_fire__what_another_function_changes_is_seen_by_those_after_it(arguments: Any) -> None:
    def rename(request: Any, page: Page) -> None:
        request.META["REMOTE_ADDR"] = "192.0.2.7"

    arguments[0].META["REMOTE_ADDR"] = "192.0.2.1"
    register(remember_address)
    register(one)
    hooks.register(HOOK, rename)
    register(remember_address_too)

    fire(arguments)

    run_all()
    assert calls == ["192.0.2.1", "one", "192.0.2.7"]


def test_fire__switches_and_settings_count(arguments: Any, settings: Any) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [f"{__name__}.four"]
    register(*FIVE)

    with hooks.suppress(two):
        fire(arguments)

    assert enqueued() == ["one", "three", "five"]
    assert calls == ["four"]


def test_fire__an_autosave_enqueues_only_what_merges(
    page: BlogPage, rf: RequestFactory, editor: Any
) -> None:
    request = rf.post("/", headers={"accept": "application/json"})
    request.user = editor
    for function, options in (
        (one, {"coalesce": "{page.pk}"}),
        (two, {}),
        (three, {"debounce": 9}),
    ):
        register(function, hook="after_edit_page", **options)

    fire((request, page), "after_edit_page")

    assert enqueued() == ["one", "three"]


def test_fire__hooks_of_a_site_are_enqueued_as_they_are_called(
    arguments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalogue._added, "after_tide", catalogue.Kind(("request", "page")))
    register(one, two, hook="after_tide")

    hooks.get_hooks("after_tide")[0](*arguments)

    assert enqueued() == ["one"]


# What was enqueued ahead is taken for nothing else ------------------------------------------


@pytest.mark.parametrize("savepoint", [False, True])
def test_rollback__what_is_called_later_is_enqueued(arguments: Any, savepoint: bool) -> None:
    register(one, two)
    first, second = hooks.get_hooks(HOOK)

    def undone() -> None:
        with transaction.atomic():
            first(*arguments)
            transaction.set_rollback(True)

    with transaction.atomic():
        if savepoint:
            undone()
            second(*arguments)
    if not savepoint:
        undone()
        second(*arguments)

    assert enqueued() == ["two"]


def test_commit__nothing_is_expected_in_another_transaction(arguments: Any) -> None:
    register(one, two)
    first, second = hooks.get_hooks(HOOK)
    with transaction.atomic():
        first(*arguments)
    with transaction.atomic():
        second(*arguments)
    assert enqueued() == ["one", "two", "two"]


def test_take__other_arguments_are_another_call(arguments: Any) -> None:
    register(one, two)
    first, second = hooks.get_hooks(HOOK)
    request, page = arguments

    first(request, page)
    second(request, Page.get_first_root_node())

    assert enqueued() == ["one", "two", "two"]


def test_take__nothing_is_ahead_of_calls_that_no_view_makes(arguments: Any) -> None:
    """A test or a script may call one of them only, or each with a request of its own."""
    register(one, two)
    first, _ = hooks.get_hooks(HOOK)
    request, page = arguments
    request.resolver_match = None

    first(request, page)

    assert enqueued() == ["one"]


def test_take__a_row_that_was_read_anew_is_the_same(arguments: Any) -> None:
    register(one, two)
    first, second = hooks.get_hooks(HOOK)
    request, page = arguments

    first(request, page)
    second(request, BlogPage.objects.get(pk=page.pk))

    assert enqueued() == ["one", "two"]


# When something goes wrong ------------------------------------------------------------------


@pytest.mark.parametrize("in_transaction", [False, True])
def test_refused__each_runs_in_the_request_and_the_change_stands(
    arguments: Any, in_transaction: bool
) -> None:
    register(*FIVE)

    with obstacles.refusing("no"):
        if in_transaction:
            with transaction.atomic():
                Advert.objects.create(text="before")
                fire(arguments)
                Advert.objects.create(text="after")
        else:
            fire(arguments)

    assert calls == [function.__name__ for function in FIVE]
    assert enqueued() == []
    assert Advert.objects.all().delete()[0] == (2 if in_transaction else 0)


def test_refused__one_of_them_runs_in_the_request_in_its_turn(
    arguments: Any, caplog: pytest.LogCaptureFixture
) -> None:
    request, page = arguments
    register(one, two)
    hooks.register(HOOK, three, background=True)

    fire((request, object()))  # which nothing carries

    assert calls == ["one", "two", "three"]
    assert enqueued() == []
    fire((request, page))  # known to be refused, so each by itself
    assert enqueued() == ["one", "two", "three"]
