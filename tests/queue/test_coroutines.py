"""Tests of tasks, hooks and receivers that are called within a coroutine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.core.exceptions import SynchronousOnlyOperation
from django.core.mail import EmailMessage
from django.db import connection, connections
from django.dispatch import Signal
from django.utils import translation
from wagtail import hooks as wagtail_hooks

from tests.draining import run_all
from tests.work.tasks import add
from wagtail_async_hooks import background, hooks, receiver
from wagtail_async_hooks.exceptions import CalledInCoroutine
from wagtail_async_hooks.models import BackgroundTask

paid = Signal()
seen: list[tuple[str, Any]] = []


@pytest.fixture(autouse=True)
def threads_connections() -> Iterator[None]:
    """Close the connections of the thread in which asgiref runs what is called in coroutines."""
    yield
    asyncio.run(sync_to_async(connections.close_all)())


@pytest.fixture(autouse=True)
def nothing_seen(committed_db: None) -> Iterator[None]:
    """Forget what the functions below were called with, and what they have written."""
    seen.clear()
    yield
    Group.objects.filter(name="paid").delete()


@receiver(paid, background=True)
def book(sender: Any, number: int, **kwargs: Any) -> None:
    Group.objects.get_or_create(name="paid")
    seen.append((translation.get_language(), number))


@receiver(paid, background=True)
async def book_later(sender: Any, number: int, **kwargs: Any) -> None:
    await Group.objects.aget_or_create(name="paid")
    seen.append(("async", number))


def warm(page: Any) -> None:
    seen.append(("hook", page))


def within_a_coroutine(call: Any, language: str = "de") -> Any:
    """Call something where an event loop runs."""

    async def view() -> Any:
        with translation.override(language):
            return call()

    return asyncio.run(view())


# Tasks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: add(1, 2),
        lambda: add.schedule((1, 2), delay=5),
        lambda: background.enqueue(add.s(1, 2)),
        lambda: add.map([(1, 2)]),
        lambda: background.enqueue_many([add.s(1, 2)]),
    ],
)
def test_task__says_how_to_call_it(call: Any) -> None:
    with pytest.raises(CalledInCoroutine, match=r"tests\.work\.tasks\.add .*await sync_to_async"):
        within_a_coroutine(call)

    assert not BackgroundTask.objects.exists()
    add(1, 2)  # nothing is left behind
    assert BackgroundTask.objects.count() == 1


def test_task__is_an_error_that_django_has() -> None:
    with pytest.raises(SynchronousOnlyOperation):
        within_a_coroutine(lambda: add(1, 2))


def test_task__is_recorded_as_advised() -> None:
    async def view() -> None:
        await sync_to_async(add)(1, 2)

    asyncio.run(view())

    assert BackgroundTask.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="one database suffices")
def test_task__is_recorded_where_the_site_allows_statements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    within_a_coroutine(lambda: add(1, 2))
    within_a_coroutine(lambda: paid.send(Group, number=3))

    assert BackgroundTask.objects.count() == 3


def test_task__runs_at_once_in_immediate_mode(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    assert within_a_coroutine(lambda: add(1, 2).get()) == 3


# Receivers, hooks, e-mails ------------------------------------------------------------------


def test_receiver__of_send_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    within_a_coroutine(lambda: paid.send(Group, number=3))

    assert BackgroundTask.objects.count() == 2
    assert seen == []
    run_all()
    assert sorted(seen) == [("async", 3), ("de", 3)]
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_receiver__of_asend_is_recorded() -> None:
    asyncio.run(paid.asend(Group, number=4))

    run_all()
    assert sorted(each for _, each in seen) == [4, 4]


def test_receiver__in_immediate_mode_runs(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": ""}

    within_a_coroutine(lambda: paid.send(Group, number=5))

    assert sorted(seen) == [("async", 5), ("de", 5)]


def test_receiver__that_cannot_be_recorded_runs(caplog: pytest.LogCaptureFixture) -> None:
    within_a_coroutine(lambda: paid.send(Group, number=6, socket=object()))

    assert sorted(seen) == [("async", 6), ("de", 6)]
    assert "cannot be carried to a worker" in caplog.text


def test_receiver__whose_ledger_is_missing_runs(
    no_table: None, caplog: pytest.LogCaptureFixture
) -> None:
    within_a_coroutine(lambda: paid.send(Group, number=7))

    assert sorted(seen) == [("async", 7), ("de", 7)]
    assert "could not be recorded as a background task" in caplog.text


def test_receiver__within_an_async_task() -> None:
    paying = background.task()(pay)
    try:
        paying()
        run_all()
    finally:
        paying.unregister()

    assert sorted(each for _, each in seen) == [8, 8]


async def pay() -> None:
    paid.send(Group, number=8)


def test_hook__is_recorded(settings: Any) -> None:
    own = {"order_paid": {"arguments": ["page"]}}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": own}
    with hooks.register_temporarily("order_paid", warm, background=True):

        def fire() -> None:
            for function in wagtail_hooks.get_hooks("order_paid"):
                function("9")

        within_a_coroutine(fire)
        assert BackgroundTask.objects.count() == 1
        assert seen == []
        run_all()

    assert seen == [("hook", "9")]


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="the setting is MAILERS there")
def test_email__is_recorded(settings: Any) -> None:
    settings.EMAIL_BACKEND = "wagtail_async_hooks.mail.BackgroundEmailBackend"
    email = EmailMessage("Hello", "…", "a@example.org", ["b@example.org"])

    assert within_a_coroutine(email.send) == 1

    assert BackgroundTask.objects.count() == 1
