"""Tests of the dispatcher: a hook becomes a row, or runs at once, and never harms the editor."""

import functools
import inspect
import logging
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.models import Page

from tests.draining import run_all
from tests.site.blog.models import Advert, Author, BlogPage, HomePage
from wagtail_async_hooks import background, hooks
from wagtail_async_hooks.hooks import dispatch, registry
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.serialization.arguments import (
    BulkActionInfo,
    CarriedRequest,
    ModelSequence,
)

HOOK = "after_create_page"
"""A hook for which the demo site has no function of its own."""

calls: list[tuple[Any, ...]] = []
"""The arguments with which the functions below were called."""


def remember(*args: Any, **kwargs: Any) -> str:
    """Keep the arguments."""
    calls.append((*args, kwargs) if kwargs else args)
    return "an answer"


def remember_too(*args: Any) -> None:
    """Keep the arguments as well."""
    calls.append(args)


def respond(*args: Any) -> HttpResponse:
    """Return a response, as some hooks do to end the loop."""
    calls.append(args)
    return HttpResponse("stop")


def fail(*args: Any) -> None:
    """Raise an error."""
    calls.append(args)
    raise ValueError("no luck")


def make_the_same_advert(*args: Any) -> None:
    """Write something that the database refuses."""
    calls.append(args)
    Advert.objects.create(pk=Advert.objects.get().pk, text="the same key")


async def remember_later(*args: Any) -> str:
    """Keep the arguments, in a coroutine."""
    calls.append(args)
    return "an answer"


class Parrot:
    """A callable object."""

    def __call__(self, *args: Any) -> str:
        calls.append(args)
        return "an answer"


def nested() -> Callable[..., str]:
    """Return a function that nobody can import."""

    def inner(*args: Any) -> str:
        return remember(*args)

    return inner


def nested_coroutine() -> Callable[..., Any]:
    """Return a coroutine function that nobody can import."""

    async def inner(*args: Any) -> None:
        calls.append(args)

    return inner


def path_of(function: Any) -> str:
    """Return the path by which the package names a function of this module."""
    return f"{__name__}.{function.__qualname__}"


def told(function: Any) -> str:
    """Return how the log names a function: by its path, and where it is written."""
    return f"{path_of(function)} ({__file__}:{function.__code__.co_firstlineno})"


pytestmark = pytest.mark.usefixtures("registries")


@pytest.fixture(autouse=True)
def no_calls() -> None:
    """Forget the calls of earlier tests."""
    calls.clear()


def fire(hook: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Call the functions of a hook as Wagtail does; return their answers."""
    return [function(*args, **kwargs) for function in hooks.get_hooks(hook)]


def rows(function: Any) -> list[BackgroundTask]:
    """Return the recorded tasks of a function, oldest first."""
    return list(BackgroundTask.objects.filter(function=path_of(function)).order_by("pk"))


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what was logged as an error."""
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.fixture
def page(db: None) -> BlogPage:
    """A post below a front page."""
    home = Page.get_first_root_node().add_child(instance=HomePage(title="News", slug="news"))
    return home.add_child(
        instance=BlogPage(title="Tides", slug="tides", introduction="High and low")
    )


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    """A request of nobody."""
    return rf.get("/admin/")


# What is registered -------------------------------------------------------------------------


def test_in_background__looks_like_the_function() -> None:
    dispatcher = dispatch.in_background(HOOK, remember)

    assert dispatcher is not remember
    assert dispatcher.__wrapped__ is remember
    assert (dispatcher.__module__, dispatcher.__name__) == (__name__, "remember")
    assert (dispatcher.__qualname__, dispatcher.__doc__) == ("remember", "Keep the arguments.")


def test_in_background__of_a_coroutine_function_is_a_plain_one() -> None:
    assert not inspect.iscoroutinefunction(dispatch.in_background(HOOK, remember_later))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 has marked coroutines")
@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_in_background__of_a_marked_coroutine_function_is_a_plain_one(
    monkeypatch: pytest.MonkeyPatch, request_: HttpRequest
) -> None:
    @functools.wraps(remember_later)
    def marked(*args: Any) -> Any:
        return remember_later(*args)

    monkeypatch.setitem(globals(), "marked", inspect.markcoroutinefunction(marked))
    dispatcher = dispatch.in_background(HOOK, marked)

    assert not inspect.iscoroutinefunction(dispatcher)
    assert dispatcher(request_, "a") is None
    assert calls[0][1] == "a"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda *args: remember(*args), "a worker cannot find a lambda again, it has no name"),
        (
            nested(),
            "a worker cannot find a function again that is defined inside another one",
        ),
        (
            functools.partial(remember),
            "a worker cannot find a partial again, it has no name",
        ),
        (Parrot(), "a worker cannot find a Parrot again, it has no name"),
    ],
    ids=["lambda", "nested", "partial", "callable object"],
)
def test_in_background__what_a_worker_cannot_find_stays_synchronous(
    on: Callable[..., None], function: Any, reason: str
) -> None:
    on(HOOK, function)

    kept = registry.kept_synchronous[-1]
    assert (kept.hook, kept.function, kept.reason) == (HOOK, function, reason)
    assert not kept.is_unsuitable
    assert hooks.get_hooks(HOOK) == [function]
    assert fire(HOOK, "request", "page") == ["an answer"]
    assert calls == [("request", "page")]


def test_in_background__a_nested_coroutine_function_runs_nevertheless(
    on: Callable[..., None],
) -> None:
    on(HOOK, nested_coroutine())

    [answer] = fire(HOOK, "request", "page")

    if inspect.iscoroutine(answer):
        answer.close()
    assert calls == [("request", "page")]


def test_in_background__a_method_is_found_by_its_class() -> None:
    dispatcher = dispatch.in_background(HOOK, Parrot.__call__)

    assert dispatcher.__wrapped__ is Parrot.__call__
    assert (HOOK, f"{__name__}.Parrot.__call__") in registry.entries


# What is recorded ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_dispatch__records_a_task(
    on: Callable[..., None], editor_request: HttpRequest, editor: Any, page: BlogPage
) -> None:
    on(HOOK, remember)

    assert fire(HOOK, editor_request, page) == [None]

    assert calls == []
    [row] = rows(remember)
    assert (row.hook, row.function) == (HOOK, path_of(remember))
    assert row.name == f"{__name__}.remember@{HOOK}"
    assert (row.state, row.attempt, row.priority) == ("waiting", 0, 0)
    assert row.user == editor
    assert row.subject_type == ContentType.objects.get_for_model(BlogPage)
    assert row.subject_id == str(page.pk)
    assert (row.run_at, row.started_at, row.finished_at) == (None, None, None)


@pytest.mark.django_db
def test_dispatch__a_worker_calls_the_function(
    on: Callable[..., None], editor_request: HttpRequest, editor: Any, page: BlogPage
) -> None:
    on(HOOK, remember)
    fire(HOOK, editor_request, page)

    run_all()

    [(request, arrived)] = calls
    assert (type(request), request.user) == (CarriedRequest, editor)
    assert (type(arrived), arrived) == (BlogPage, page)
    assert rows(remember)[0].state == "succeeded"


@pytest.mark.django_db
def test_dispatch__a_worker_awaits_a_coroutine(
    on: Callable[..., None], request_: HttpRequest, page: BlogPage
) -> None:
    on(HOOK, remember_later)
    assert fire(HOOK, request_, page) == [None]

    run_all()

    assert [arrived for _, arrived in calls] == [page]


@pytest.mark.django_db
def test_dispatch__keyword_arguments(
    on: Callable[..., None], request_: HttpRequest, page: BlogPage
) -> None:
    on(HOOK, remember)
    fire(HOOK, request_, page=page)

    run_all()

    assert calls[0][1] == {"page": page}
    assert rows(remember)[0].subject_id == str(page.pk)


@pytest.mark.django_db
def test_dispatch__a_page_that_is_gone_cancels_the_task(
    on: Callable[..., None], request_: HttpRequest, page: BlogPage
) -> None:
    on(HOOK, remember)
    fire(HOOK, request_, page)
    page.delete()

    run_all()

    [row] = rows(remember)
    assert (row.state, row.error) == ("cancelled", "its page was deleted")
    assert calls == []


@pytest.mark.django_db
def test_dispatch__the_subject_of_a_plain_page_is_its_own_class(
    on: Callable[..., None], request_: HttpRequest, page: BlogPage
) -> None:
    on(HOOK, remember)

    fire(HOOK, request_, Page.objects.get(pk=page.pk))

    assert rows(remember)[0].subject_type.model_class() is BlogPage


@pytest.mark.django_db
def test_dispatch__the_subject_is_the_first_of_several(
    on: Callable[..., None], request_: HttpRequest, page: BlogPage
) -> None:
    on("after_copy_page", remember)
    on("after_delete_snippet", remember_too)
    advert = Advert.objects.create(text="Tea")

    fire("after_copy_page", request_, page, Page.objects.get(slug="news"))
    fire("after_delete_snippet", request_, [advert])

    subjects = [(r.subject_type.model_class(), r.subject_id) for r in rows(remember)]
    assert subjects == [(BlogPage, str(page.pk))]
    subjects = [(r.subject_type.model_class(), r.subject_id) for r in rows(remember_too)]
    assert subjects == [(Advert, str(advert.pk))]


@pytest.mark.django_db
def test_dispatch__nobody_triggered_it(on: Callable[..., None], rf: RequestFactory) -> None:
    on(HOOK, remember)
    anonymous = rf.get("/")
    anonymous.user = AnonymousUser()

    fire(HOOK, anonymous, "x")
    fire(HOOK, rf.get("/"), "x")

    found = [(r.user, r.subject_type, r.subject_id) for r in rows(remember)]
    assert found == [(None, None, "")] * 2


@pytest.mark.django_db
def test_dispatch__a_rollback_leaves_no_row(on: Callable[..., None], page: BlogPage) -> None:
    on(HOOK, remember)

    def edit() -> None:
        with transaction.atomic():
            fire(HOOK, None, page)
            assert len(rows(remember)) == 1
            raise ValueError("the edit failed")

    with pytest.raises(ValueError, match="the edit failed"):
        edit()

    assert rows(remember) == []
    assert calls == []


def seen_by_others() -> int:
    """Return how many tasks another connection sees."""

    def count() -> int:
        try:
            return BackgroundTask.objects.count()
        finally:
            connection.close()

    with ThreadPoolExecutor() as other:
        return other.submit(count).result()


@pytest.mark.usefixtures("committed_db")
def test_dispatch__in_a_transaction_it_is_seen_after_the_commit(on: Callable[..., None]) -> None:
    on(HOOK, remember)

    with transaction.atomic():
        fire(HOOK, None, "x")
        assert len(rows(remember)) == 1
        assert seen_by_others() == 0
    assert seen_by_others() == 1
    assert calls == []


@pytest.mark.usefixtures("committed_db")
def test_dispatch__without_a_transaction_it_is_seen_at_once(on: Callable[..., None]) -> None:
    on(HOOK, remember)

    fire(HOOK, None, "x")

    assert seen_by_others() == 1
    assert calls == []


@pytest.mark.django_db
def test_dispatch__costs_one_insert(
    on: Callable[..., None],
    editor_request: HttpRequest,
    page: BlogPage,
    django_assert_num_queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(HOOK, remember)
    ContentType.objects.get_for_model(BlogPage)

    for _ in range(2):
        with django_assert_num_queries(1):
            fire(HOOK, editor_request, page)


# What is deleted, and bulk actions ----------------------------------------------------------


@pytest.mark.django_db
def test_dispatch__a_deleted_page_arrives_whole(
    on: Callable[..., None], client: Client, editor: Any, page: BlogPage
) -> None:
    on("after_delete_page", remember)
    client.force_login(editor)
    key = page.pk

    client.post(reverse("wagtailadmin_pages:delete", args=(key,)))
    assert not Page.objects.filter(pk=key).exists()
    run_all()

    [(request, arrived)] = calls
    assert (type(arrived), arrived.pk, arrived.title) == (BlogPage, key, "Tides")
    assert request.user == editor
    [row] = rows(remember)
    assert (row.subject_id, row.user) == (str(key), editor)


@pytest.mark.django_db
def test_dispatch__deleted_snippets_arrive_whole(
    on: Callable[..., None], client: Client, editor: Any
) -> None:
    on("after_delete_snippet", remember)
    client.force_login(editor)
    author = Author.objects.create(name="Ada", role="Pilot")

    client.post(reverse("wagtailsnippets_blog_author:delete", args=(author.pk,)))
    assert not Author.objects.exists()
    run_all()

    [(_, instances)] = calls
    assert [(type(i), i.name, i.role) for i in instances] == [(Author, "Ada", "Pilot")]


@pytest.mark.django_db
def test_dispatch__a_bulk_action_arrives_as_a_description(
    on: Callable[..., None], client: Client, editor: Any, page: BlogPage
) -> None:
    on("after_bulk_action", remember)
    client.force_login(editor)
    other_home = Page.get_first_root_node().add_child(instance=HomePage(title="B", slug="b"))
    action = reverse("wagtail_bulk_action", args=("wagtailcore", "page", "move"))

    client.post(f"{action}?id={page.pk}&next=/admin/", {"chooser": other_home.pk})
    page.refresh_from_db()
    assert page.get_parent() == other_home.page_ptr
    run_all()

    [(_, action_type, objects, action_instance)] = calls
    assert action_type == "move"
    assert (type(objects), list(objects)) == (ModelSequence, [page])
    assert type(action_instance) is BulkActionInfo
    assert action_instance.view.endswith(".MoveBulkAction")
    assert action_instance.cleaned_data == {"chooser": other_home}


# Priority -----------------------------------------------------------------------------------

OF_HOOK = {HOOK: {"priority": 5}}
OF_FUNCTION = {path_of(remember): {"priority": -7}}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("in_settings", "in_code", "expected"),
    [
        ({}, None, 0),
        ({}, 3, 3),
        (OF_HOOK, None, 5),
        (OF_HOOK, 3, 5),
        (OF_FUNCTION, 3, -7),
        ({**OF_HOOK, **OF_FUNCTION}, 3, -7),
        ({HOOK: {"priority": 0}}, 3, 0),
    ],
    ids=["none", "code", "hook", "hook over code", "function over code", "all", "nought"],
)
def test_dispatch__priority(
    on: Callable[..., None],
    settings: Any,
    page: BlogPage,
    in_settings: Any,
    in_code: int | None,
    expected: int,
) -> None:
    on(HOOK, remember, priority=in_code)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": in_settings}

    fire(HOOK, None, page)

    assert [row.priority for row in rows(remember)] == [expected]


@pytest.mark.django_db
def test_dispatch__higher_priority_runs_first(on: Callable[..., None]) -> None:
    on(HOOK, remember, priority=1)
    on(HOOK, remember_too, priority=2)
    fire(HOOK, None, "x")
    ran: list[str] = []

    while (task := background.next()) is not None:
        ran.append(task.definition.function)
        background.execute(task)

    assert ran == [path_of(remember_too), path_of(remember)]


# Registered more than once ------------------------------------------------------------------


@pytest.mark.django_db
def test_in_background__the_same_function_twice(on: Callable[..., None], page: BlogPage) -> None:
    on(HOOK, remember, priority=2)
    on(HOOK, remember, priority=1)

    fire(HOOK, None, page)
    assert [row.priority for row in rows(remember)] == [2, 1]
    run_all()

    assert calls == [(None, page), (None, page)]
    assert [row.state for row in rows(remember)] == ["succeeded", "succeeded"]


@pytest.mark.django_db
def test_in_background__one_function_for_two_hooks(on: Callable[..., None], page: BlogPage) -> None:
    on(HOOK, remember)
    on("after_move_page", remember)

    fire("after_move_page", None, page)
    fire(HOOK, None, page)
    run_all()

    assert [row.hook for row in rows(remember)] == ["after_move_page", HOOK]
    assert len({row.name for row in rows(remember)}) == 2
    assert len(calls) == 2


# Forced to run in the request ---------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("name", [HOOK, path_of(remember)], ids=["hook", "function"])
def test_dispatch__the_site_wants_it_synchronous(
    on: Callable[..., None], settings: Any, request_: HttpRequest, page: BlogPage, name: str
) -> None:
    on(HOOK, remember)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [name]

    assert fire(HOOK, request_, page) == ["an answer"]

    [(request, arrived)] = calls
    assert request is request_
    assert arrived is page
    assert rows(remember) == []


@pytest.mark.django_db
def test_dispatch__synchronous_by_function_leaves_others_alone(
    on: Callable[..., None], settings: Any
) -> None:
    on(HOOK, remember)
    on(HOOK, remember_too)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [path_of(remember)]

    fire(HOOK, None, "x")

    assert (len(rows(remember)), len(rows(remember_too))) == (0, 1)


def test_dispatch__synchronous_errors_are_the_callers(
    on: Callable[..., None], settings: Any
) -> None:
    on(HOOK, fail)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [HOOK]

    with pytest.raises(ValueError, match="no luck"):
        fire(HOOK, None, "x")


def test_dispatch__synchronous_coroutines_are_awaited(
    on: Callable[..., None], settings: Any
) -> None:
    on(HOOK, remember_later)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [HOOK]

    [answer] = fire(HOOK, None, "x")

    if inspect.iscoroutine(answer):
        answer.close()
    assert calls == [(None, "x")]
    assert answer == "an answer"


# What cannot be carried ---------------------------------------------------------------------


class Parcel:
    """Something that cannot be carried."""


@pytest.mark.django_db
def test_dispatch__what_cannot_be_carried_runs_in_the_request(
    on: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    request_: HttpRequest,
) -> None:
    on(HOOK, remember)
    parcel = Parcel()

    assert fire(HOOK, request_, parcel) == [None]
    assert fire(HOOK, request_, Parcel()) == [None]

    assert calls[0] == (request_, parcel)
    assert len(calls) == 2
    assert rows(remember) == []
    [record] = errors(caplog)
    assert record.name == "wagtail_async_hooks.hooks.dispatch"
    assert record.getMessage() == (
        f"{HOOK} {told(remember)} runs in the request, because an argument cannot be carried "
        f"to a worker: page (Parcel) → {__name__}.Parcel cannot be carried to the worker; pass "
        "its key, or plain values made of it."
    )


@pytest.mark.django_db
def test_dispatch__what_cannot_be_carried_is_logged_for_each_function(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, remember)
    on(HOOK, remember_too)
    on("after_move_page", remember)

    for hook in (HOOK, "after_move_page", HOOK):
        fire(hook, None, Parcel())

    said = [record.getMessage().split(" runs in")[0] for record in errors(caplog)]
    assert said == [
        f"{HOOK} {told(remember)}",
        f"{HOOK} {told(remember_too)}",
        f"after_move_page {told(remember)}",
    ]
    assert len(calls) == 5


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hook", "args", "kwargs", "said"),
    [
        (
            "after_bulk_action",
            (None, "publish", [1, {"a": Parcel()}]),
            {},
            f"objects[1]['a'] (list) → {__name__}.Parcel cannot be carried",
        ),
        (
            HOOK,
            (None, "x", (Parcel(),)),
            {},
            f"argument 3[0] (tuple) → {__name__}.Parcel cannot be carried",
        ),
        (
            HOOK,
            (None,),
            {"page": Parcel()},
            f"page (Parcel) → {__name__}.Parcel cannot be carried",
        ),
        (HOOK, (None, Advert()), {}, "page (Advert) → an unsaved Advert cannot be carried"),
        (
            HOOK,
            (None, "x"),
            {"reset_token": "s3cret"},
            'an argument named "reset_token" is taken for a secret, which is not to be kept; keep ',
        ),
    ],
    ids=["inside of a list", "one more than expected", "by keyword", "unsaved", "secret"],
)
def test_dispatch__names_what_cannot_be_carried(
    on: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    hook: str,
    args: Any,
    kwargs: Any,
    said: str,
) -> None:
    on(hook, remember)

    fire(hook, *args, **kwargs)

    [record] = errors(caplog)
    assert f"to a worker: {said}" in record.getMessage()
    assert len(calls) == 1


@pytest.mark.django_db
def test_dispatch__what_contains_itself_runs_in_the_request(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, remember)
    loop: list[Any] = []
    loop.append(loop)

    fire(HOOK, None, loop)

    assert len(calls) == 1
    [record] = errors(caplog)
    assert path_of(remember) in record.getMessage()
    assert "contains itself" in record.getMessage()


@pytest.mark.django_db
def test_dispatch__what_fails_in_the_request_instead_is_logged(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, fail)

    assert fire(HOOK, None, Parcel()) == [None]

    assert len(calls) == 1
    _, record = errors(caplog)
    assert record.getMessage() == f"{HOOK} {told(fail)} failed in the request."
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no luck"


@pytest.mark.django_db
def test_dispatch__a_coroutine_that_cannot_be_carried_is_awaited(
    on: Callable[..., None],
) -> None:
    on(HOOK, remember_later)
    parcel = Parcel()

    assert fire(HOOK, None, parcel) == [None]

    assert calls == [(None, parcel)]


@pytest.mark.django_db
def test_dispatch__what_breaks_in_the_request_instead_does_not_undo_the_edit(
    on: Callable[..., None],
) -> None:
    on(HOOK, make_the_same_advert)

    with transaction.atomic():
        advert = Advert.objects.create(text="Tea")
        fire(HOOK, None, Parcel())
        advert.text = "Coffee"
        advert.save()

    assert len(calls) == 1
    assert Advert.objects.get().text == "Coffee"


# Without the tables -------------------------------------------------------------------------


@pytest.mark.usefixtures("no_table")
def test_dispatch__without_a_table_it_runs_in_the_request(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, remember)

    assert fire(HOOK, None, "x") == [None]

    assert calls == [(None, "x")]
    [record] = errors(caplog)
    assert record.getMessage() == (
        f"{HOOK} {told(remember)} could not be recorded as a background task, so it runs in "
        "the request."
    )
    assert record.exc_info is not None


@pytest.mark.usefixtures("no_table")
def test_dispatch__without_a_table_the_edit_is_kept(on: Callable[..., None]) -> None:
    on(HOOK, remember)
    on(HOOK, fail)

    with transaction.atomic():
        advert = Advert.objects.create(text="Tea")
        assert fire(HOOK, None, advert) == [None, None]
        advert.text = "Coffee"
        advert.save()

    assert calls == [(None, advert)] * 2
    assert [advert.text for advert in Advert.objects.all()] == ["Coffee"]


# A ledger in another database ---------------------------------------------------------------


@pytest.mark.usefixtures("elsewhere")
def test_dispatch__with_another_database_it_is_recorded_after_the_commit(
    on: Callable[..., None],
) -> None:
    on(HOOK, remember)

    with transaction.atomic():
        fire(HOOK, None, "x")
        recorded_before = len(rows(remember))
    run_all()

    assert recorded_before == 0
    assert len(rows(remember)) == 1
    assert calls == [(None, "x")]


@pytest.mark.usefixtures("elsewhere")
def test_dispatch__with_another_database_a_rollback_leaves_no_row(
    on: Callable[..., None],
) -> None:
    on(HOOK, remember)

    with transaction.atomic():
        fire(HOOK, None, "x")
        transaction.set_rollback(True)

    assert rows(remember) == []
    assert calls == []


@pytest.mark.usefixtures("elsewhere")
def test_dispatch__with_another_database_what_cannot_be_carried_runs_in_the_request(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, remember)
    parcel = Parcel()

    with transaction.atomic():
        fire(HOOK, None, parcel)

    assert calls == [(None, parcel)]
    [record] = errors(caplog)
    assert "page (Parcel)" in record.getMessage()


@pytest.mark.usefixtures("elsewhere", "no_table")
def test_dispatch__with_another_database_without_a_table_nothing_is_lost(
    on: Callable[..., None],
) -> None:
    on(HOOK, remember)

    with transaction.atomic():
        assert fire(HOOK, None, "x") == [None]

    assert calls == [(None, "x")]


# Immediate mode -----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_calls_the_function_with_what_a_worker_would_get(
    on: Callable[..., None], editor_request: HttpRequest, editor: Any, page: BlogPage
) -> None:
    on(HOOK, remember)
    page.title = "Only in memory"

    assert fire(HOOK, editor_request, page) == [None]

    [(request, arrived)] = calls
    assert (type(request), request.user) == (CarriedRequest, editor)
    assert (arrived, arrived.title) == (page, "Tides")


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_never_touches_the_ledger(
    on: Callable[..., None], editor_request: HttpRequest, page: BlogPage
) -> None:
    for function in (remember, fail, remember_later, respond):
        on(HOOK, function)

    with CaptureQueriesContext(connection) as queries:
        fire(HOOK, editor_request, page)

    assert len(calls) == 4
    assert [q["sql"] for q in queries if "wagtail_async_hooks" in q["sql"]] == []
    assert not BackgroundTask.objects.exists()


@pytest.mark.usefixtures("immediate", "no_table")
def test_dispatch__immediate_needs_no_table(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, remember)

    fire(HOOK, None, "x")

    assert calls == [(None, "x")]
    assert errors(caplog) == []


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_logs_errors(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture, page: BlogPage
) -> None:
    on(HOOK, fail)
    on(HOOK, remember)

    assert fire(HOOK, None, page) == [None, None]

    assert calls == [(None, page), (None, page)]
    [record] = errors(caplog)
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no luck"


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_awaits_a_coroutine(on: Callable[..., None], page: BlogPage) -> None:
    on(HOOK, remember_later)

    assert fire(HOOK, None, page) == [None]

    assert calls == [(None, page)]


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_with_what_cannot_be_carried(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, remember)
    parcel = Parcel()

    fire(HOOK, None, parcel)

    assert calls == [(None, parcel)]
    assert len(errors(caplog)) == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_answers_are_for_nobody(
    on: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on(HOOK, respond)

    assert fire(HOOK, None, "x") == [None]

    assert background.result_count() == 0
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_keeps_nothing(on: Callable[..., None]) -> None:
    on(HOOK, remember)
    on(HOOK, fail)

    fire(HOOK, None, "x")

    assert (background.pending_count(), background.result_count()) == (0, 0)


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_errors_of_the_database_do_not_undo_the_edit(
    on: Callable[..., None],
) -> None:
    on(HOOK, make_the_same_advert)

    with transaction.atomic():
        advert = Advert.objects.create(text="Tea")
        fire(HOOK, None, "x")
        advert.text = "Coffee"
        advert.save()

    assert calls == [(None, "x")]
    assert Advert.objects.get().text == "Coffee"


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_deleted_objects_arrive_whole(on: Callable[..., None]) -> None:
    on("after_delete_snippet", remember)
    advert = Advert.objects.create(text="Tea")
    Advert.objects.all().delete()

    fire("after_delete_snippet", None, [advert])

    [(_, [arrived])] = calls
    assert arrived is not advert
    assert (arrived.pk, arrived.text) == (advert.pk, "Tea")


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
def test_dispatch__immediate_with_a_site_that_wants_it_synchronous(
    on: Callable[..., None], settings: Any, page: BlogPage
) -> None:
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [HOOK]
    on(HOOK, remember)

    assert fire(HOOK, None, page) == ["an answer"]

    assert calls[0][1] is page


def test_in_background__another_function_of_the_same_name_runs_in_the_request() -> None:
    namesake = types.FunctionType(remember_too.__code__, globals(), "remember")
    namesake.__qualname__ = "remember"

    dispatch.in_background("after_create_page", remember)

    assert dispatch.in_background("after_create_page", namesake) is namesake
    assert registry.kept_synchronous[-1].reason == (
        "a worker could not tell it from another function of the same name"
    )
    assert registry.entries["after_create_page", f"{__name__}.remember"].function is remember


@pytest.mark.parametrize("function", [remember, lambda *args: None], ids=["task", "kept"])
def test_forget__leaves_nothing_behind(function: Callable[..., Any]) -> None:
    tasks_before = set(background._registry._registry)
    hooks_before = dict(registry.entries)
    kept_before = list(registry.kept_synchronous)

    with hooks.register_temporarily("after_create_page", function, background=True):
        assert (dict(registry.entries), list(registry.kept_synchronous)) != (
            hooks_before,
            kept_before,
        )

    assert registry.entries == hooks_before
    assert registry.kept_synchronous == kept_before
    assert set(background._registry._registry) == tasks_before


def test_options_now__follow_the_settings(settings: Any) -> None:
    path = "tests.site.blog.wagtail_hooks.draw_share_image"
    entry = registry.entries["after_publish_page", path]
    given = {**settings.WAGTAIL_TASKS, "HOOKS": {}}
    settings.WAGTAIL_TASKS = given
    in_code = entry.options_now()

    settings.WAGTAIL_TASKS = {**given, "HOOKS": {path: {"priority": 3}}}
    assert entry.options_now() == in_code._replace(priority=3)

    settings.WAGTAIL_TASKS = given
    assert entry.options_now() == in_code
