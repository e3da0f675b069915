"""Tests of functions that other packages register, and that the settings move to the background."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
import pytest
from django.core import checks
from django.core.checks import CheckMessage
from django.core.signals import request_started
from django.db import close_old_connections, connection
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import Signal
from django.test import Client
from django.urls import reverse
from wagtail import hooks as wagtail_hooks
from wagtail.models import Page
from wagtail.signals import page_published, page_unpublished, published

from tests.draining import run_all
from tests.neighbour import caching
from tests.processes import run_site_tests
from tests.site.blog.models import Advert, BlogPage, HomePage
from wagtail_async_hooks import background, hooks, receiver
from wagtail_async_hooks.hooks import private_registries, registry
from wagtail_async_hooks.hooks.dispatch import Moved
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import registered as listing
from wagtail_async_hooks.types import State

HERE = "tests.neighbour.caching"
HOOK = "after_publish_page"


@pytest.fixture(autouse=True)
def restored(registries: None) -> Iterator[None]:
    """Forget what was called and connected."""
    caching.calls.clear()
    signals = (page_published, page_unpublished, published, post_save, post_delete, pre_save)
    before = [list(signal.receivers) for signal in signals]
    yield
    for signal, receivers in zip(signals, before, strict=True):
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()
    caching.stock_changed.receivers.clear()
    caching.calls.clear()


@pytest.fixture
def move(settings: Any) -> Callable[..., None]:
    """Name functions of the neighbour in the settings; what they name now is all that they name."""

    def move(*names: str, backend: str = "database", **options: Any) -> None:
        given = {f"{HERE}.{name}": {"background": True, **options} for name in names}
        settings.WAGTAIL_TASKS = {"BACKEND": backend, "HOOKS": given}

    return move


@pytest.fixture
def page(db: None) -> HomePage:
    """A page."""
    found: HomePage = Page.get_first_root_node().add_child(
        instance=HomePage(title="Tides", slug="tides")
    )
    BackgroundTask.objects.all().delete()
    return found


def registered(hook: str = HOOK) -> list[tuple[str, Any]]:
    """Return names and orders of what is registered for a hook, in the sequence of the calls."""
    entries = sorted(wagtail_hooks._hooks.get(hook, []), key=lambda each: each[1])
    return [
        (f"{'*' if isinstance(f, Moved) else ''}{f.__name__}", order)
        for f, order in entries
        if f.__module__ in (HERE, __name__)
    ]


def fire(hook: str, *args: Any) -> list[Any]:
    """Call the neighbour's functions of a hook as Wagtail does, and return their answers."""
    return [fn(*args) for fn in wagtail_hooks.get_hooks(hook) if fn.__module__ == HERE]


def rows() -> list[tuple[str, str]]:
    """Return hook and function of each recorded task."""
    found = BackgroundTask.objects.filter(function__startswith=HERE).order_by("pk")
    return [(row.hook, row.function.rpartition(".")[2]) for row in found]


def called() -> list[str]:
    """Return which functions of the neighbour were called."""
    return [name for name, _, _ in caching.calls]


def said() -> dict[str, list[CheckMessage]]:
    """Return what the checks say of the neighbour, by their numbers."""
    found: dict[str, list[CheckMessage]] = {}
    for message in checks.run_checks(tags=[checks.Tags.compatibility]):
        if HERE in message.msg:
            found.setdefault(message.id.rpartition(".")[2], []).append(message)
    return found


def next_request() -> None:
    """Do what Django does when a request begins, but for closing the test's connection."""
    request_started.disconnect(close_old_connections)
    try:
        request_started.send(sender=None)
    finally:
        request_started.connect(close_old_connections)


# Hooks --------------------------------------------------------------------------------------


def test_hook__is_moved(move: Callable[..., None], page: HomePage, editor_request: Any) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    move("purge")

    assert fire(HOOK, editor_request, page) == [None]
    assert called() == []
    assert rows() == [(HOOK, "purge")]

    run_all()

    [(_, (request, found), _)] = caching.calls
    assert (request.user, found) == (editor_request.user, page)
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


@pytest.mark.parametrize("place", range(4))
def test_hook__keeps_its_order_and_its_place(move: Callable[..., None], place: int) -> None:
    def stays(request: Any, page: Any) -> None: ...

    names = ["stays", "stays", "stays"]
    names.insert(place, "purge")
    for name in names:
        wagtail_hooks.register(HOOK, caching.purge if name == "purge" else stays, order=5)
    wagtail_hooks.register(HOOK, caching.ping, order=-1)
    wagtail_hooks.register(HOOK, caching.ping, order=9)

    move("purge")

    moved = [(f"*{name}" if name == "purge" else name, 5) for name in names]
    assert registered() == [("ping", -1), *moved, ("ping", 9)]

    move()

    assert registered() == [("ping", -1), *((name, 5) for name in names), ("ping", 9)]


def test_hook__all_its_background_safe_ones_are_moved_and_no_other(
    move: Callable[..., None],
) -> None:
    for hook in (HOOK, "after_move_page", "before_edit_page"):
        wagtail_hooks.register(hook, caching.purge)
    wagtail_hooks.register(HOOK, caching.purge, order=3)

    move("purge")

    assert registered() == [("*purge", 0), ("*purge", 3)]
    assert registered("after_move_page") == [("*purge", 0)]
    assert registered("before_edit_page") == [("purge", 0)]
    assert said() == {}


def test_hook__that_is_registered_twice_is_called_twice_as_before(
    move: Callable[..., None], page: HomePage, editor_request: Any
) -> None:
    for _ in range(3):
        wagtail_hooks.register(HOOK, caching.purge)
    move("purge")
    wagtail_hooks.register(HOOK, caching.purge)
    next_request()

    assert registered() == [("*purge", 0)] * 4
    fire(HOOK, editor_request, page)
    assert rows() == [(HOOK, "purge")] * 4


def test_hook__that_is_registered_later_is_moved_before_the_next_request(
    move: Callable[..., None],
) -> None:
    move("purge", "ping")
    assert registered() == []

    wagtail_hooks.register(HOOK, caching.purge)
    next_request()
    assert registered() == [("*purge", 0)]

    wagtail_hooks.register("after_copy_page", caching.purge, order=2)
    wagtail_hooks.register(HOOK, caching.ping)
    next_request()
    assert registered("after_copy_page") == [("*purge", 2)]
    assert registered() == [("*purge", 0), ("*ping", 0)]


def test_hook__coroutine_functions_and_decorated_ones(
    move: Callable[..., None], page: HomePage, editor_request: Any
) -> None:
    wagtail_hooks.register(HOOK, caching.aping)
    wagtail_hooks.register(HOOK, caching.wrapped)
    move("aping", "wrapped")

    fire(HOOK, editor_request, page)
    run_all()

    assert rows() == [(HOOK, "aping"), (HOOK, "wrapped")]
    assert called() == ["aping", "wrapped"]


def test_hook__options_of_the_settings_are_in_force(
    move: Callable[..., None], page: HomePage, editor_request: Any
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    move("purge", priority=7, queue="slow", retries=2, title="Purge {page}", coalesce="{page.pk}")

    fire(HOOK, editor_request, page)

    row = BackgroundTask.objects.get()
    assert (row.priority, row.queue, row.title) == (7, "slow", "Purge Tides")
    assert row.coalesce_key
    assert background.deserialize_task(bytes(row.message)).retries == 2


def test_hook__what_was_deleted_is_copied(
    move: Callable[..., None], editor_request: Any, db: None
) -> None:
    wagtail_hooks.register("after_delete_snippet", caching.sweep)
    move("sweep")
    advert = Advert.objects.create(text="Tea")
    key = advert.pk
    for gate in wagtail_hooks.get_hooks("before_delete_snippet"):
        gate(editor_request, [advert])
    advert.delete()

    fire("after_delete_snippet", editor_request, [advert])
    run_all()

    assert caching.calls == [("sweep", (["Tea"], [key]), {})]


def test_hook__through_wagtails_views(
    move: Callable[..., None], page: HomePage, editor: Any, client: Client
) -> None:
    wagtail_hooks.register("after_unpublish_page", caching.purge)
    move("purge")
    client.force_login(editor)

    client.post(reverse("wagtailadmin_pages:unpublish", args=[page.pk]))

    assert rows() == [("after_unpublish_page", "purge")]
    assert called() == []


# Given back ---------------------------------------------------------------------------------


def test_given_back__when_the_settings_name_it_no_more(
    move: Callable[..., None], page: HomePage, editor_request: Any
) -> None:
    wagtail_hooks.register(HOOK, caching.purge, order=4)
    move("purge")
    move("ping")

    assert registered() == [("purge", 4)]
    assert (HOOK, f"{HERE}.purge") not in registry.entries
    assert fire(HOOK, editor_request, page) == ["purge"]
    assert rows() == []


@pytest.mark.parametrize("order", [0, -3])
def test_deregistered__by_who_has_registered_it(move: Callable[..., None], order: int) -> None:
    with wagtail_hooks.register_temporarily(HOOK, caching.purge, order=order):
        move("purge")
        assert registered() == [("*purge", order)]

    assert registered() == []


def test_synchronous__by_either_setting(settings: Any, page: HomePage, editor_request: Any) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    hooks.register(HOOK, caching.ping, background=True)
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {f"{HERE}.purge": {"background": True}, f"{HERE}.ping": {"background": False}},
    }
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [f"{HERE}.purge"]

    assert fire(HOOK, editor_request, page) == ["purge", "ping"]
    assert called() == ["purge", "ping"]
    assert rows() == []
    told = {each.function: each.synchronous for each in listing.listed() if HERE in each.function}
    assert told == {
        f"{HERE}.purge": "WAGTAIL_TASKS_SYNC_HOOKS",
        f"{HERE}.ping": f'WAGTAIL_TASKS["HOOKS"]["{HERE}.ping"]["background"]',
    }


@pytest.mark.parametrize("names", [(), (HOOK,), (caching.purge,), (f"{HERE}.purge",)])
def test_suppress__and_synchronous_know_it(
    move: Callable[..., None], page: HomePage, editor_request: Any, names: tuple[Any, ...]
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    move("purge")

    with hooks.suppress(*names):
        fire(HOOK, editor_request, page)
    assert (called(), rows()) == ([], [])

    with hooks.synchronous(*names):
        assert fire(HOOK, editor_request, page) == ["purge"]
    assert rows() == []


def test_immediate__it_runs_as_other_background_functions_do(
    move: Callable[..., None], page: HomePage, editor_request: Any
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    move("purge", backend="")

    assert fire(HOOK, editor_request, page) == [None]

    [(_, (request, found), _)] = caching.calls
    assert request is not editor_request  # it made the round trip
    assert found == page
    assert rows() == []


def test_listing__says_that_the_settings_moved_it(move: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    move("purge", priority=3)

    [found] = [each for each in listing.listed() if each.function == f"{HERE}.purge"]

    assert (found.kind, found.hook, found.synchronous) == ("hook", HOOK, "")
    assert found.moved == f'WAGTAIL_TASKS["HOOKS"]["{HERE}.purge"]["background"]'
    [priority] = [option for option in found.options if option.name == "priority"]
    assert (priority.value, priority.source) == (3, f'WAGTAIL_TASKS["HOOKS"]["{HERE}.purge"]')


def test_threads__nothing_is_lost_while_it_is_moved(settings: Any) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    for _ in range(50):
        wagtail_hooks.register(HOOK, caching.ping)
    missed, done = [], threading.Event()

    def look() -> None:
        while not done.is_set():
            found = wagtail_hooks.get_hooks(HOOK)
            if not any(fn == caching.purge for fn in found) or found.count(caching.ping) < 50:
                missed.append(found)

    looking = threading.Thread(target=look)
    looking.start()
    for turn in range(60):
        on = {"HOOKS": {f"{HERE}.purge": {"background": bool(turn % 2)}}}
        settings.WAGTAIL_TASKS = {"BACKEND": "database", **on}
    done.set()
    looking.join()
    assert missed == []


# Signals ------------------------------------------------------------------------------------


def connected(signal: Signal) -> list[tuple[str, Any, Any]]:
    """Return names, senders and identifiers of what is connected to a signal."""
    return [
        (f"{'*' if isinstance(c.function, Moved) else ''}{c.function.__name__}", c.sender, c.key[0])
        for c in private_registries.of_signal(signal)
        if c.function.__module__ in (HERE, __name__)
    ]


@pytest.mark.parametrize("weak", [True, False])
@pytest.mark.parametrize("uid", [None, "neighbour.fresh", ("neighbour", 1)])
@pytest.mark.parametrize("sender", [None, HomePage])
def test_signal__is_moved(
    move: Callable[..., None], page: HomePage, weak: bool, uid: Any, sender: Any
) -> None:
    page_published.connect(caching.fresh, sender=sender, weak=weak, dispatch_uid=uid)
    [(_, _, key)] = connected(page_published)
    move("fresh")

    assert connected(page_published) == [("*fresh", sender, key)]
    page_published.send(sender=BlogPage, instance=page)
    assert len(rows()) == (0 if sender else 1)
    page_published.send(sender=HomePage, instance=page)
    assert rows()[-1] == ("page_published", "fresh")
    assert called() == []
    run_all()
    assert caching.calls[-1] == ("fresh", (HomePage, page), {})

    # It is the same connection to who has made it.
    page_published.connect(caching.fresh, sender=sender, weak=weak, dispatch_uid=uid)
    assert connected(page_published) == [("*fresh", sender, key)]
    assert page_published.disconnect(caching.fresh, sender=sender, dispatch_uid=uid)
    assert connected(page_published) == []


def test_signal__is_given_back(move: Callable[..., None], page: HomePage) -> None:
    page_published.connect(caching.fresh, sender=HomePage, dispatch_uid="x")
    move("fresh")
    move()

    assert connected(page_published) == [("fresh", HomePage, "x")]
    page_published.send(sender=HomePage, instance=page)
    assert (called(), rows()) == (["fresh"], [])


def test_signal__several_with_several_senders(move: Callable[..., None], page: HomePage) -> None:
    for signal in (page_published, page_unpublished):
        for sender in (HomePage, BlogPage):
            signal.connect(caching.fresh, sender=sender)
    move("fresh")

    for signal in (page_published, page_unpublished):
        signal.send(sender=HomePage, instance=page)

    assert rows() == [("page_published", "fresh"), ("page_unpublished", "fresh")]
    assert {name for name, _, _ in connected(page_published)} == {"*fresh"}


def test_signal__of_a_model_that_is_saved_and_deleted(move: Callable[..., None], db: None) -> None:
    post_save.connect(caching.fresh, sender=Advert)
    post_delete.connect(caching.gone, sender="blog.Advert")
    move("fresh", "gone")

    advert = Advert.objects.create(text="Tea")
    key = advert.pk
    run_all()
    assert caching.calls == [("fresh", (Advert, advert), {})]
    advert.delete()
    run_all()

    assert rows() == [("post_save", "fresh"), ("post_delete", "gone")]
    assert caching.calls[1:] == [("gone", (Advert, "Tea", key), {})]


def test_signal__coroutine_functions(move: Callable[..., None], page: HomePage) -> None:
    published.connect(caching.afresh)
    move("afresh")

    published.send(sender=HomePage, instance=page)
    run_all()

    assert caching.calls == [("afresh", (HomePage, page), {})]


def test_signal__of_the_packages_own(move: Callable[..., None], db: None) -> None:
    caching.stock_changed.connect(caching.counted)
    move("counted")

    caching.stock_changed.send(sender=Advert, number=3)
    assert rows() == [("stock_changed", "counted")]
    run_all()

    assert caching.calls == [("counted", (Advert, 3), {})]


def test_signal__that_is_connected_later(move: Callable[..., None]) -> None:
    move("fresh")
    page_published.connect(caching.fresh)
    next_request()

    assert [name for name, _, _ in connected(page_published)] == ["*fresh"]


def test_signal__that_is_connected_in_place_of_another(move: Callable[..., None]) -> None:
    page_published.connect(caching.purge)
    move("fresh")
    page_published.disconnect(caching.purge)
    page_published.connect(caching.fresh)
    next_request()

    assert [name for name, _, _ in connected(page_published)] == ["*fresh"]


def test_hook__that_is_registered_in_place_of_another(move: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.ping)
    move("purge")
    wagtail_hooks._hooks[HOOK].pop()
    wagtail_hooks.register(HOOK, caching.purge)
    next_request()

    assert registered() == [("*purge", 0)]


def test_signal__that_is_connected_later_and_no_request_comes(
    move: Callable[..., None], db: None
) -> None:
    from django.db import connection
    from django.db.backends.signals import connection_created

    move("fresh")
    page_published.connect(caching.fresh)
    connection_created.send(sender=type(connection), connection=connection)

    assert [name for name, _, _ in connected(page_published)] == ["*fresh"]


def test_signal__that_needs_an_answer_at_once_stays(move: Callable[..., None], db: None) -> None:
    pre_save.connect(caching.early, sender=Advert)
    move("early")

    Advert.objects.create(text="Tea")

    assert called() == ["early"]
    [message] = said()["W032"]
    assert message.msg == (
        f'WAGTAIL_TASKS["HOOKS"]["{HERE}.early"]["background"] cannot move "{HERE}.early": for the '
        'signal "pre_save", the signal is not background-safe: its receivers have to act before '
        "what follows it."
    )


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="Django 6.1 keeps the sender")
def test_signal__of_a_sender_that_cannot_be_found_stays(
    move: Callable[..., None], page: HomePage
) -> None:
    sender = Page.objects.none  # a bound method: no weak reference to it lives
    page_published.connect(caching.fresh, sender=sender)
    move("fresh")

    assert [name for name, _, _ in connected(page_published)] == ["fresh"]
    [message] = said()["W032"]
    assert "it is connected with a sender that is neither a model nor an app" in message.msg


# Twice --------------------------------------------------------------------------------------


def test_twice__registering_it_again_for_the_background_replaces_it(
    page: HomePage, editor_request: Any
) -> None:
    wagtail_hooks.register(HOOK, caching.purge, order=2)
    hooks.register(HOOK, caching.purge, background=True, priority=3)

    fire(HOOK, editor_request, page)

    assert called() == []
    assert rows() == [(HOOK, "purge")]
    assert said() == {}


def test_twice__registered_plainly_afterwards(page: HomePage, editor_request: Any) -> None:
    hooks.register(HOOK, caching.purge, background=True, priority=3)
    wagtail_hooks.register(HOOK, caching.purge, order=2)
    next_request()

    fire(HOOK, editor_request, page)

    assert (called(), rows()) == ([], [(HOOK, "purge")])


def test_twice__moved_and_then_registered_for_the_background(
    move: Callable[..., None], page: HomePage, editor_request: Any
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    move("purge")
    hooks.register(HOOK, caching.purge, background=True)

    fire(HOOK, editor_request, page)
    assert rows() == [(HOOK, "purge")]

    move()
    fire(HOOK, editor_request, page)
    assert rows() == [(HOOK, "purge")] * 2


@pytest.mark.parametrize("uid", [None, "x"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_twice__receivers(page: HomePage, uid: Any, first: str) -> None:
    def theirs() -> None:
        page_published.connect(caching.fresh, sender=HomePage, dispatch_uid=uid)

    def ours() -> None:
        receiver(page_published, background=True, sender=HomePage)(caching.fresh)

    for connect in (theirs, ours) if first == "theirs" else (ours, theirs):
        connect()
    next_request()

    page_published.send(sender=HomePage, instance=page)

    assert (called(), rows()) == ([], [("page_published", "fresh")])
    assert said() == {}


def test_twice__what_cannot_be_told_apart_is_checked(page: HomePage) -> None:
    again = caching.decorated(caching.purge)
    wagtail_hooks.register(HOOK, caching.purge)
    hooks.register(HOOK, again, background=True)
    page_published.connect(caching.fresh)
    receiver(page_published, background=True, sender=HomePage)(caching.fresh)

    by_hook, by_signal = said()["W034"]

    assert by_hook.msg.startswith(f"{HERE}.purge (")
    assert by_hook.msg.endswith(
        f'is registered twice for "{HOOK}", in the background and in the request, so it runs twice.'
    )
    assert 'is connected twice to the signal "page_published"' in by_signal.msg


@pytest.mark.parametrize("is_moved", [False, True])
def test_twice__for_the_time_of_a_test(
    move: Callable[..., None], page: HomePage, editor_request: Any, is_moved: bool
) -> None:
    wagtail_hooks.register(HOOK, caching.purge, order=3)
    if is_moved:
        move("purge")

    with hooks.register_temporarily(HOOK, caching.purge, background=True, priority=9):
        next_request()
        fire(HOOK, editor_request, page)
    assert (called(), rows()) == ([], [(HOOK, "purge")])

    assert registered() == [("*purge" if is_moved else "purge", 3)]
    fire(HOOK, editor_request, page)
    run_all()
    assert called() == ["purge"] * (2 if is_moved else 1)
    assert len(rows()) == (2 if is_moved else 1)


def test_scan__an_error_ends_no_request(
    move: Callable[..., None],
    page: HomePage,
    editor_request: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("no luck")

    wagtail_hooks.register(HOOK, caching.purge)
    monkeypatch.setattr(private_registries, "substitute", fail)
    move("purge")
    next_request()

    assert fire(HOOK, editor_request, page) == ["purge"]
    assert "Functions that the settings move may go on in the request." in caplog.text


# What cannot be moved -----------------------------------------------------------------------

STAYS = {
    "missing": ("W030", "which cannot be imported: "),
    "alias": ("W030", f'which is defined as "{HERE}.purge"'),
    "number": ("W031", "leads to a int, which is no function"),
    "nested": ("W031", "that is defined inside another one"),
    "nameless": ("W031", "a worker cannot find a lambda again"),
    "part": ("W031", "a worker cannot find a partial again, it has no name"),
    "purger": ("W031", "a worker cannot find a Purger again, it has no name"),
    "method": ("W031", "it is a method, whose object a worker could not find again"),
    "Purger": ("W031", "it is a class, and a worker calls functions only"),
    "ping": ("W032", "which is registered for no hook and connected to no signal"),
    "refuse": ("W032", 'it is registered for "before_publish_page", which is not background-safe'),
}


@pytest.mark.parametrize("name", STAYS)
def test_stays__a_check_says_why_and_it_runs_in_the_request(
    move: Callable[..., None], page: HomePage, editor_request: Any, name: str
) -> None:
    number, why = STAYS[name]
    function = getattr(caching, name, None)
    hook = "before_publish_page" if name == "refuse" else HOOK
    if callable(function) and name not in ("ping", "Purger"):
        wagtail_hooks.register(hook, function)
    before = list(wagtail_hooks._hooks.get(hook, []))

    move(name)

    if name != "alias":
        assert wagtail_hooks._hooks.get(hook, []) == before
    found = said()
    assert list(found) == [number]
    [message] = found[number]
    assert message.msg.startswith(f'WAGTAIL_TASKS["HOOKS"]["{HERE}.{name}"]["background"] ')
    assert why in message.msg
    assert message.msg.count(".\n") == 0
    assert message.hint
    for fn, _ in wagtail_hooks._hooks.get(hook, []):
        if fn is function:
            fn(editor_request, page)
            assert len(caching.calls) == 1
    assert rows() == []


def test_stays__what_belongs_to_this_package(settings: Any) -> None:
    path = "wagtail_async_hooks.integrations.scheduled_publishing.object_published"
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {path: {"background": True}}}

    found = checks.run_checks(tags=[checks.Tags.compatibility])

    [message] = [each for each in found if each.id == "wagtail_async_hooks.W031"]
    assert message.msg.endswith("it belongs to wagtail_async_hooks itself.")


def test_stays__a_task_is_in_the_background_already(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"tests.work.tasks.trace": {"background": True}},
    }

    found = checks.run_checks(tags=[checks.Tags.compatibility])

    [message] = [each for each in found if each.id == "wagtail_async_hooks.W031"]
    assert message.msg.endswith("it is a background task already.")


def test_stays__a_module_that_fails(settings: Any, tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "sour_neighbour.py").write_text("raise ZeroDivisionError('no luck')")
    monkeypatch.syspath_prepend(tmp_path)
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "HOOKS": {"sour_neighbour.purge": {"background": True}},
    }
    next_request()

    found = checks.run_checks(tags=[checks.Tags.compatibility])

    [message] = [each for each in found if each.id == "wagtail_async_hooks.W030"]
    assert "ZeroDivisionError: no luck" in message.msg


# What its source tells ----------------------------------------------------------------------


def test_source__of_a_moved_function_is_read(move: Callable[..., None]) -> None:
    wagtail_hooks.register("before_publish_page", caching.remember)
    for name in ("posted", "compare", "purge"):
        wagtail_hooks.register(HOOK, getattr(caching, name))
    move("posted", "compare", "purge")

    found = said()

    [message] = found.pop("W006")
    assert f"{HERE}.posted, which runs in the background" in message.msg
    by_constant, by_name = sorted(found.pop("W035"), key=lambda each: "told_before" not in each.msg)
    assert by_constant.msg.startswith(
        f'{HERE}.compare, which runs in the background for "{HOOK}", reads page.told_before, which '
        f"{HERE}.remember leaves there ("
    )
    assert f"reads page._title_before, which {HERE}.remember leaves there" in by_name.msg
    assert found == {}


# The registries -----------------------------------------------------------------------------


def test_registries__look_as_they_are_read() -> None:
    """This fails when Wagtail or Django keeps its registry in another way."""
    wagtail_hooks.register(HOOK, caching.purge, order=-7)
    assert private_registries.of_hook(HOOK)[-1] == (caching.purge, -7)
    assert HOOK in private_registries.hook_names()
    private_registries.substitute(HOOK, {len(private_registries.of_hook(HOOK)) - 1: caching.ping})
    assert wagtail_hooks.get_hooks(HOOK)[0] is caching.ping
    assert private_registries.of_hook(HOOK)[-1] == (caching.ping, -7)

    signal, other = Signal(), Signal()
    signal.connect(caching.fresh)
    signal.connect(caching.fresh, sender=Page, weak=False, dispatch_uid="x")
    signal.connect(caching.afresh, sender=Page, dispatch_uid=("y", 1))
    assert private_registries.of_signal(signal) == [
        (caching.fresh, (id(caching.fresh), id(None)), None, True),
        (caching.fresh, ("x", id(Page)), Page, True),
        (caching.afresh, (("y", 1), id(Page)), Page, True),
    ]
    assert private_registries.of_signal(other) == []


def _no_dict(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(wagtail_hooks, "_hooks")


def _other_entries(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wagtail_hooks, "_hooks", {HOOK: [caching.purge]})


def _triples(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wagtail_hooks, "_hooks", {HOOK: [(caching.purge, 0, "x")]})


def _no_receivers(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(page_published, "receivers")


def _other_receivers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(page_published, "receivers", [caching.fresh])


@pytest.mark.parametrize(
    "change", [_no_dict, _other_entries, _triples, _no_receivers, _other_receivers]
)
def test_registries__when_they_change_functions_go_on_in_the_request(
    move: Callable[..., None], change: Any
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    page_published.connect(caching.fresh)
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        move("purge", "fresh")
        next_request()
        patch.setattr(wagtail_hooks, "search_for_hooks", lambda: None)
        found = said_by_takeover()
        assert [number for number, _ in found] == ["W033", "W033"]
        assert all("cannot move" in text for _, text in found)
        move()
    assert registered() == [("purge", 0)]


def said_by_takeover() -> list[tuple[str, str]]:
    """Return number and text of what the checks say of functions that are not moved."""
    from wagtail_async_hooks.checks.takeover import check_moved

    return [(m.id.rpartition(".")[2], m.msg.removesuffix(".")) for m in check_moved() if m.id]


# Real packages ------------------------------------------------------------------------------


NEEDED = [
    *("wagtail_asset_publisher", "wagtail_herald", "wagtail_indexnow", "wagtail_machine_readable")
]


@pytest.mark.slow
@pytest.mark.skipif(
    "CI" not in os.environ and not all(map(find_spec, NEEDED)), reason="needs packages from PyPI"
)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="makes an SQLite database of its own")
def test_packages__of_others_build_ping_and_purge_in_a_worker(tmp_path: Path) -> None:
    """Run ``tests/packages/site_tests.py``, on a site that has three packages from PyPI."""
    run_site_tests("packages", tmp_path)
