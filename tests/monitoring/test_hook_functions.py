"""Tests of the list of all functions of hooks: where each runs, why, and what could be better."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from wagtail import hooks as wagtail_hooks
from wagtail.signals import page_published, pre_page_move

from tests.neighbour import caching
from wagtail_async_hooks import background, hooks, receiver
from wagtail_async_hooks.hooks import private_registries, takeover
from wagtail_async_hooks.hooks.private_registries import Unreadable
from wagtail_async_hooks.monitoring import hook_functions, objections
from wagtail_async_hooks.monitoring.hook_functions import HookFunction, Where

HERE = "tests.neighbour.caching"
HOOK = "after_publish_page"


@pytest.fixture(autouse=True)
def restored(registries: None) -> Iterator[None]:
    """Forget what was connected."""
    signals = (page_published, pre_page_move)
    before = [list(signal.receivers) for signal in signals]
    yield
    for signal, receivers in zip(signals, before, strict=True):
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()


@pytest.fixture
def set_hooks(settings: Any) -> Callable[..., None]:
    """Set options of functions."""

    def set_hooks(**options: Any) -> None:
        named = {f"{HERE}.{name}": given for name, given in options.items()}
        settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": named}

    return set_hooks


def told(function: str, hook: str = HOOK) -> HookFunction:
    """Return what is said of a function for a hook; of two, both have to be equal."""
    [found] = [
        each
        for each in hook_functions.all_functions()
        if each.function.endswith(function) and each.hook == hook
    ]
    return found


def answer(request: Any, page: Any) -> HttpResponse:
    """Answer an editor's request."""
    return HttpResponse()


def answer_nothing(request: Any, page: Any) -> None:
    """Return nothing, though a function inside of it does."""

    def inner() -> int:
        return 1

    if page:
        return None
    return


def swapped(page: Any) -> None:
    """Take something else than the hook passes."""


# In the request -----------------------------------------------------------------------------


def test_movable__with_the_line_of_settings_that_moves_it(set_hooks: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.ping)

    found = told("caching.ping")

    assert (found.kind, found.where) == ("hook", Where.MOVABLE)
    assert found.reason == "could run in the background"
    assert found.setting == f'WAGTAIL_TASKS["HOOKS"]["{HERE}.ping"] = {{"background": True}}'
    assert found.warnings == ()

    given: dict[str, Any] = {"HOOKS": {}}
    exec(found.setting, {"WAGTAIL_TASKS": given})
    set_hooks(ping=given["HOOKS"][f"{HERE}.ping"])
    takeover.take_over()

    assert told("caching.ping").where == Where.BACKGROUND


@pytest.mark.parametrize(
    ("function", "warning"),
    [
        (caching.posted, "It reads request.POST, which a worker does not have."),
        (swapped, "It does not take what the hook passes: it takes (page)."),
    ],
    ids=["request", "arguments"],
)
def test_movable__what_a_check_would_warn_of(function: Any, warning: str) -> None:
    wagtail_hooks.register(HOOK, function)
    found = told(function.__name__)

    assert (found.where, found.warnings, found.setting) == (Where.MOVABLE, (warning,), "")


def test_movable__what_another_function_leaves_on_the_page() -> None:
    wagtail_hooks.register("before_publish_page", caching.remember)
    wagtail_hooks.register(HOOK, caching.compare)

    found = told("caching.compare")

    assert found.setting == ""
    assert {warning.split(",")[0] for warning in found.warnings} == {
        "It reads page._title_before",
        "It reads page.told_before",
    }


def test_movable__what_was_read_is_read_anew_when_more_is_registered() -> None:
    wagtail_hooks.register(HOOK, caching.compare)
    assert len(told("caching.compare").warnings) == 1  # a private name tells it by itself
    wagtail_hooks.register("before_publish_page", caching.remember)
    assert len(told("caching.compare").warnings) == 2


def test_movable__sources_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wagtail_hooks.register(HOOK, caching.ping)
    first = told("caching.ping")
    monkeypatch.setattr(objections, "_warnings", lambda *args: 1 / 0)

    assert told("caching.ping") == first


@pytest.mark.parametrize(("function", "number"), [(answer, 1), (answer_nothing, 0)])
def test_movable__a_response_would_be_lost(function: Any, number: int) -> None:
    wagtail_hooks.register(HOOK, function)
    found = told(f".{function.__name__}")

    assert found.setting
    assert len(found.notes) == number


def test_movable__a_coroutine_function_would_be_awaited() -> None:
    wagtail_hooks.register(HOOK, caching.aping)
    found = told("caching.aping")

    assert found.where == Where.MOVABLE
    assert "Wagtail does not await it" in found.notes[0]


def test_movable__also_while_it_is_measured(settings: Any) -> None:
    wagtail_hooks.register(HOOK, caching.ping)
    before = told("caching.ping")
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "MEASURE_HOOKS": True}

    assert told("caching.ping") == before


@pytest.mark.parametrize(
    ("function", "path", "reason"),
    [
        (caching.nameless, f"{HERE}.<lambda>", "is a lambda, so a worker cannot find it"),
        (caching.nested, f"{HERE}._made.<locals>.inner", "is nested, so a worker cannot find it"),
        (
            caching.part,
            f"functools.partial of {HERE}.purge",
            "has no name, so a worker cannot find it",
        ),
        (
            caching.purger,
            f"an object of {HERE}.Purger",
            "has no name, so a worker cannot find it",
        ),
        (
            caching.method,
            f"{HERE}.Purger.purge",
            "is a method, and a worker cannot find its object",
        ),
        (caching.Purger, f"{HERE}.Purger", "is a class, and a worker calls functions only"),
    ],
    ids=["lambda", "nested", "partial", "object", "method", "class"],
)
@pytest.mark.parametrize("measured", [False, True])
def test_kept__what_a_worker_could_not_find(
    settings: Any, function: Any, path: str, reason: str, measured: bool
) -> None:
    wagtail_hooks.register(HOOK, function)
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "MEASURE_HOOKS": measured}
    found = told(path)

    assert (found.where, found.function) == (Where.KEPT, path)
    assert (found.reason, found.setting) == (reason, "")


def test_kept__a_task(task_of: Any) -> None:
    wagtail_hooks.register(HOOK, task_of(answer_nothing))

    assert told("answer_nothing").reason == "is a background task already, and only enqueues itself"
    assert background


def test_kept__its_author_asks_for_the_background_in_vain() -> None:
    async def ping(request: Any, page: Any) -> None: ...

    hooks.register(HOOK, ping, background=True)
    found = told("<locals>.ping")

    assert found.where == Where.KEPT
    assert found.notes == ("Its code asks for the background, in vain.",)


def test_kept__our_own_functions() -> None:
    wagtail_hooks.register(HOOK, takeover.path_of)

    assert told("takeover.path_of").reason == "is a part of the background tasks themselves"


def test_kept__another_function_of_the_same_name(set_hooks: Callable[..., None]) -> None:
    @functools.wraps(caching.ping)
    def twin(request: Any, page: Any) -> None: ...

    hooks.register(HOOK, caching.ping, background=True)
    wagtail_hooks.register(HOOK, twin)
    found = [each for each in hook_functions.all_functions() if each.function == f"{HERE}.ping"]

    assert [each.where for each in found] == [Where.BACKGROUND, Where.KEPT]
    assert "another function of the same name" in found[1].reason


@pytest.mark.parametrize("names", [[HOOK], [f"{HERE}.ping"]])
def test_kept__by_the_settings(settings: Any, names: list[str]) -> None:
    hooks.register(HOOK, caching.ping, background=True, priority=7)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = names
    found = told("caching.ping")

    assert found.where == Where.KEPT
    assert found.reason == "is kept in the request by WAGTAIL_TASKS_SYNC_HOOKS"
    assert found.option("priority") == 7


def test_kept__by_the_settings_of_the_function(set_hooks: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.ping)
    set_hooks(ping={"background": False})
    found = told("caching.ping")

    assert (found.where, found.setting) == (Where.KEPT, "")
    assert found.reason == (
        f'is kept in the request by WAGTAIL_TASKS["HOOKS"]["{HERE}.ping"]["background"]'
    )


def test_kept__although_the_settings_move_it(
    set_hooks: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> Any:
        raise Unreadable("changed")

    wagtail_hooks.register(HOOK, caching.ping)
    monkeypatch.setattr(private_registries, "_hooks", unreadable)
    set_hooks(ping={"background": True})
    found = told("caching.ping")

    assert found.where == Where.KEPT
    assert "manage.py check" in found.reason


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ("before_publish_page", "must act before the change, which it may refuse"),
        ("construct_main_menu", "returns, or changes, what Wagtail needs to go on"),
        ("register_anything_else", "returns, or changes, what Wagtail needs to go on"),
        (
            "after_a_site_fired_it",
            "is for a hook that is not in the catalogue of background-safe hooks",
        ),
    ],
)
def test_bound__by_its_hook(hook: str, reason: str) -> None:
    wagtail_hooks.register(hook, caching.ping)
    found = told("caching.ping", hook)

    assert (found.where, found.reason, found.setting) == (Where.BOUND, reason, "")


# In the background --------------------------------------------------------------------------


def test_background__by_its_author() -> None:
    hooks.register(HOOK, caching.ping, background=True, queue="slow", priority=3)
    found = told("caching.ping")

    assert (found.where, found.moved) == (Where.BACKGROUND, "")
    assert found.reason == "was registered with background=True"
    assert (found.option("queue"), found.option("priority")) == ("slow", 3)
    assert found.option("delay") is None


def test_background__by_the_settings(set_hooks: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.ping)
    set_hooks(ping={"background": True, "priority": 9})
    found = told("caching.ping")

    assert found.where == Where.BACKGROUND
    assert found.moved == f'WAGTAIL_TASKS["HOOKS"]["{HERE}.ping"]["background"]'
    assert found.option("priority") == 9


# Signals ------------------------------------------------------------------------------------


def test_signal__a_receiver_of_another_package_could_be_moved() -> None:
    page_published.connect(caching.fresh)
    found = told("caching.fresh", "page_published")

    assert (found.kind, found.where) == ("signal", Where.MOVABLE)
    assert found.setting == f'WAGTAIL_TASKS["HOOKS"]["{HERE}.fresh"] = {{"background": True}}'


def test_signal__a_receiver_in_the_background() -> None:
    receiver(page_published, background=True, priority=3)(caching.fresh)
    found = told("caching.fresh", "page_published")

    assert (found.kind, found.where) == ("signal", Where.BACKGROUND)
    assert found.option("priority") == 3


def test_signal__that_is_not_background_safe() -> None:
    receiver(pre_page_move, background=True)(caching.early)
    found = told("caching.early", "pre_page_move")

    assert found.where == Where.BOUND
    assert found.reason == "is for a signal that is not background-safe"
    assert found.notes


def test_signal__a_nested_receiver() -> None:
    def nested(sender: Any, **kwargs: Any) -> None: ...

    page_published.connect(nested)
    found = told("<locals>.nested", "page_published")

    assert (found.where, found.reason) == (Where.KEPT, "is nested, so a worker cannot find it")


def test_signal__wagtails_own_receivers_are_parts_of_what_it_does() -> None:
    found = [each for each in hook_functions.all_functions() if each.kind == "signal"]
    assert not [each for each in found if each.function.startswith(("wagtail.", "django."))]


# All ----------------------------------------------------------------------------------------


def test_all__those_first_that_can_be_improved() -> None:
    wagtail_hooks.register(HOOK, caching.ping)
    wagtail_hooks.register(HOOK, caching.posted)
    wagtail_hooks.register(HOOK, caching.nested)
    hooks.register(HOOK, caching.purge, background=True)

    found = hook_functions.all_functions()

    order = [list(Where).index(each.where) for each in found]
    assert order == sorted(order)
    movable = [each.function for each in found if each.where == Where.MOVABLE]
    assert movable == [f"{HERE}.ping", f"{HERE}.posted"]


def test_all__each_function_once_for_each_hook() -> None:
    for _ in range(2):
        wagtail_hooks.register(HOOK, caching.ping)
    wagtail_hooks.register("after_edit_page", caching.ping)

    found = [each for each in hook_functions.all_functions() if each.function == f"{HERE}.ping"]
    assert [each.hook for each in found] == ["after_edit_page", HOOK]


def test_all__whatever_is_registered() -> None:
    found = {(each.hook, each.function) for each in hook_functions.all_functions()}
    for hook in private_registries.hook_names():
        assert wagtail_hooks.get_hooks(hook) == [] or hook in {name for name, _ in found}


def test_all__where_the_registry_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> Any:
        raise Unreadable("changed")

    wagtail_hooks.register(HOOK, caching.ping)
    monkeypatch.setattr(private_registries, "_hooks", unreadable)

    assert told("caching.ping").where == Where.MOVABLE


def test_all__makes_no_query(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        hook_functions.all_functions()
