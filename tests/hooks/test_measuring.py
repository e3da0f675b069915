"""Tests of measuring synchronous functions of background-safe hooks."""

from __future__ import annotations

import copy
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from wagtail import hooks as wagtail_hooks

from tests.neighbour import caching
from wagtail_async_hooks import hooks, ledger
from wagtail_async_hooks.hooks import measuring, private_registries, registry, takeover
from wagtail_async_hooks.hooks.dispatch import Moved
from wagtail_async_hooks.hooks.measuring import Measured, Reservoir
from wagtail_async_hooks.models import HookSample

HERE = "tests.neighbour.caching"
HOOK = "after_publish_page"


@pytest.fixture(autouse=True)
def restored(registries: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin as a process that has measured nothing, and forget afterwards what was measured."""
    monkeypatch.setattr(measuring._Process, "next_at", float("-inf"))
    monkeypatch.setattr(measuring._Process, "has_failed", False)
    yield
    caching.calls.clear()
    measuring._reservoirs.clear()


@pytest.fixture
def measure(settings: Any) -> Callable[..., None]:
    """Have hooks measured, as the settings say it."""

    def measure(*moved: str, wanted: bool = True, backend: str = "database") -> None:
        given = {f"{HERE}.{name}": {"background": True} for name in moved}
        settings.WAGTAIL_TASKS = {"BACKEND": backend, "HOOKS": given, "MEASURE_HOOKS": wanted}

    return measure


@pytest.fixture
def samples(committed_db: None) -> Iterator[Any]:
    """The rows; there are none yet."""
    HookSample.objects.all().delete()
    yield HookSample.objects
    HookSample.objects.all().delete()


def registered(hook: str = HOOK) -> list[tuple[Any, Any]]:
    """Return what is registered for a hook by the neighbour or by this module."""
    return [
        (function, order)
        for function, order in wagtail_hooks._hooks.get(hook, [])
        if functions_module(function) in (HERE, __name__)
    ]


def functions_module(function: Any) -> str:
    """Return the module of what is registered, or of what that is about."""
    inner = getattr(measuring.plain(function), "func", measuring.plain(function))
    return str(getattr(inner, "__module__", ""))


def fire(hook: str, *args: Any) -> list[Any]:
    """Call the functions of a hook as Wagtail does, and return their answers."""
    return [fn(*args) for fn in wagtail_hooks.get_hooks(hook) if functions_module(fn) == HERE]


def measured() -> dict[str, int]:
    """Return how many calls were measured, by the name of the function."""
    found = measuring._reservoirs.items()
    return {path.rpartition(".")[2]: each.calls for (_, path), each in found if each.calls}


# What is wrapped ----------------------------------------------------------------------------


def test_off__nothing_is_wrapped(settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    wagtail_hooks.register(HOOK, caching.purge)
    takeover.take_over()

    assert [function for function, _ in registered()] == [caching.purge]
    assert registered()[0][0] is caching.purge
    assert not measuring.is_on()
    assert not _is_connected()


def _is_connected() -> bool:
    connected = private_registries.of_signal(request_finished)
    return measuring.record in [each.function for each in connected]


def test_on__all_synchronous_functions_of_safe_hooks(measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge, order=7)
    wagtail_hooks.register("before_publish_page", caching.refuse)
    measure()

    [(function, order)] = registered()
    assert isinstance(function, Measured)
    assert (function, order) == (caching.purge, 7)
    assert registered("before_publish_page")[0][0] is caching.refuse
    assert _is_connected()


def test_on__and_off_again(measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    wagtail_hooks.register(HOOK, caching.ping, order=-1)
    before = list(wagtail_hooks._hooks[HOOK])
    measure()
    takeover.take_over()
    measure(wanted=False)

    after = wagtail_hooks._hooks[HOOK]
    assert sorted(map(id, (f for f, _ in after))) == sorted(map(id, (f for f, _ in before)))
    assert not any(isinstance(function, Measured) for function, _ in after)
    assert not measuring.is_on()


def test_on__with_a_blank_backend_nothing_is_wrapped(measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    measure(backend="")

    assert registered()[0][0] is caching.purge


@pytest.mark.parametrize("orders", [(0, 0, 0), (5, 0, -5), (0, 0, 1)])
def test_on__sequence_of_the_calls_stays(
    measure: Callable[..., None], orders: tuple[int, ...]
) -> None:
    named = (caching.purge, caching.ping, caching.wrapped)
    for function, order in zip(named, orders, strict=True):
        wagtail_hooks.register(HOOK, function, order=order)
    before = fire(HOOK, None, None)
    measure()

    assert fire(HOOK, None, None) == before
    assert sum(measured().values()) == 3


def test_on__what_is_moved_or_in_the_background_is_not_measured(
    measure: Callable[..., None],
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    hooks.register(HOOK, caching.ping, background=True)
    measure("purge")

    kinds = [type(function) for function, _ in registered()]
    assert Measured not in kinds
    assert Moved in kinds

    measure()
    [purge] = [function for function, _ in registered() if function == caching.purge]
    assert isinstance(purge, Measured)

    measure("purge")
    [purge] = [function for function, _ in registered() if function == caching.purge]
    assert isinstance(purge, Moved)
    assert (HOOK, f"{HERE}.purge") in registry.entries


def test_on__what_is_registered_later(measure: Callable[..., None]) -> None:
    measure()
    wagtail_hooks.register(HOOK, caching.purge)
    takeover._before_request()

    assert isinstance(registered()[0][0], Measured)


def test_on__its_author_can_still_deregister_it(measure: Callable[..., None]) -> None:
    measure()
    with wagtail_hooks.register_temporarily(HOOK, caching.purge):
        takeover._before_request()
        assert isinstance(registered()[0][0], Measured)
    assert registered() == []


def test_on__moving_by_code_takes_it_out(measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    measure()
    hooks.register(HOOK, caching.purge, background=True)

    [(function, _)] = registered()
    entry = registry.entry_of(function)
    assert entry is not None
    assert entry.function is caching.purge


def test_unreadable_registry__leaves_it_alone(
    measure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> Any:
        raise private_registries.Unreadable("changed")

    wagtail_hooks.register(HOOK, caching.purge)
    monkeypatch.setattr(private_registries, "_hooks", unreadable)
    measure()

    assert registered()[0][0] is caching.purge


# The timer ----------------------------------------------------------------------------------


def test_timer__answers_and_errors_are_the_functions() -> None:
    answer = HttpResponse()
    error = ValueError("no")

    def fail(request: Any, page: Any) -> None:
        raise error

    assert Measured(HOOK, lambda request, page: answer)(1, page=2) is answer
    with pytest.raises(ValueError, match="no") as raised:
        Measured(HOOK, fail)(1, 2)
    assert raised.value is error
    assert measured()["fail"] == 1


def test_timer__what_inspects_the_function_finds_it() -> None:
    def purge(request: Any, page: Any) -> None:
        """Purge it."""

    purge.marker = "kept"  # type: ignore[attr-defined]
    timer = Measured(HOOK, purge)

    assert timer.__name__ == "purge"
    assert timer.__doc__ == "Purge it."
    assert timer.__module__ == __name__
    assert timer.marker == "kept"
    assert inspect.signature(timer) == inspect.signature(purge)
    assert inspect.getsource(timer) == inspect.getsource(purge)
    assert inspect.unwrap(timer) is purge
    assert (timer, hash(timer)) == (purge, hash(purge))
    assert timer in [purge]
    assert purge in [timer]
    assert timer == Measured(HOOK, purge)
    assert copy.copy(timer) == purge
    with pytest.raises(AttributeError):
        timer.other  # noqa: B018


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (caching.nameless, "<lambda>"),
        (caching.nested, "inner"),
        (caching.part, "purge"),
        (caching.purger, "Purger"),
        (caching.method, "purge"),
    ],
    ids=["lambda", "nested", "partial", "object", "method"],
)
def test_timer__of_anything_that_can_be_called(
    measure: Callable[..., None], function: Any, name: str
) -> None:
    wagtail_hooks.register(HOOK, function)
    measure()

    [(timer, _)] = registered()
    assert isinstance(timer, Measured)
    assert isinstance(timer(None, None), str)
    assert measured() == {name: 1}


def test_timer__coroutine_functions_have_none(measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.aping)
    measure()

    [(function, _)] = registered()
    assert function is caching.aping


def test_timer__a_coroutine_function_that_a_worker_could_not_find(
    measure: Callable[..., None],
) -> None:
    async def ping(request: Any, page: Any) -> str:
        return "pong"

    hooks.register(HOOK, ping, background=True)
    measure()

    timers = [f for f, _ in wagtail_hooks._hooks[HOOK] if isinstance(f, Measured)]
    assert "pong" in [
        timer(None, None) for timer in timers if "AsyncToSync" in str(timer.__wrapped__)
    ]
    assert measured()["ping"] == 1


def test_timer__what_the_settings_keep_in_the_request(
    measure: Callable[..., None], settings: Any
) -> None:
    hooks.register(HOOK, caching.ping, background=True)
    settings.WAGTAIL_TASKS_SYNC_HOOKS = [HOOK]
    measure()

    assert fire(HOOK, None, None) == ["ping"]
    assert measured()["ping"] == 1


def test_reservoir__is_bounded_and_each_call_has_the_same_chance() -> None:
    kept: list[float] = []
    for _ in range(200):
        reservoir = Reservoir()
        for number in range(100):
            reservoir.add(float(number))
        calls, seconds, durations = reservoir.take()
        assert (calls, seconds, len(durations)) == (100, 4950.0, measuring.SIZE)
        kept += durations
    assert 45 < sum(kept) / len(kept) < 54
    assert reservoir.take() == (0, 0.0, ())


def test_reservoir__threads_lose_nothing() -> None:
    reservoir = Reservoir()

    def add() -> None:
        for _ in range(5_000):
            reservoir.add(1.0)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reservoir.take()[:2] == (20_000, 20_000.0)


# Recording ----------------------------------------------------------------------------------


def request_ends() -> None:
    """Do what Django does when the response is sent, but for closing the test's connection."""
    measuring.record()


def test_record__a_row_for_each_function(samples: Any, measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    wagtail_hooks.register("after_edit_page", caching.purge)
    wagtail_hooks.register("after_edit_page", functools.partial(caching.ping))
    measure()
    for _ in range(3):
        [timer] = [f for f, _ in registered()]
        timer(None, None)
    for timer, _ in registered("after_edit_page"):
        timer(None, None)

    request_ends()

    found = {(row.hook, row.function): row for row in samples.all()}
    assert {key: row.calls for key, row in found.items()} == {
        (HOOK, f"{HERE}.purge"): 3,
        ("after_edit_page", f"{HERE}.purge"): 1,
        ("after_edit_page", f"functools.partial of {HERE}.ping"): 1,
    }
    row = found[HOOK, f"{HERE}.purge"]
    assert len(row.durations) == 3
    assert row.seconds == pytest.approx(sum(row.durations))
    assert abs((ledger.clock() - row.at).total_seconds()) < 60


def test_record__once_a_minute(
    samples: Any, measure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    measure()
    [(timer, _)] = registered()
    for _ in range(3):
        timer(None, None)
        request_ends()
    assert [row.calls for row in samples.all()] == [1]

    measuring._Process.next_at -= measuring.INTERVAL
    request_ends()
    assert sorted(row.calls for row in samples.all()) == [1, 2]


def test_record__nothing_makes_no_query(
    db: None, measure: Callable[..., None], django_assert_num_queries: Any
) -> None:
    measure()
    with django_assert_num_queries(0):
        request_ends()


def test_record__by_one_statement(samples: Any, measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    wagtail_hooks.register(HOOK, caching.ping)
    measure()
    fire(HOOK, None, None)
    with CaptureQueriesContext(connection) as queries:
        request_ends()
    assert [each["sql"].split()[0] for each in queries].count("INSERT") == 1
    assert len(queries) <= 3  # with BEGIN and COMMIT


def test_record__waits_while_a_transaction_is_open(
    samples: Any, measure: Callable[..., None]
) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    measure()
    fire(HOOK, None, None)
    with transaction.atomic():
        request_ends()
        assert not samples.exists()
    request_ends()
    assert samples.get().calls == 1


def test_record__when_a_response_is_sent(samples: Any, measure: Callable[..., None]) -> None:
    wagtail_hooks.register(HOOK, caching.purge)
    measure()
    fire(HOOK, None, None)

    Client().get("/admin/login/")

    assert samples.get().function == f"{HERE}.purge"


def test_record__an_error_is_logged_once_and_hurts_nobody(
    samples: Any,
    measure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*args: Any) -> None:
        raise OSError("no disk")

    wagtail_hooks.register(HOOK, caching.purge)
    measure()
    monkeypatch.setattr(ledger, "add_hook_samples", broken)
    with caplog.at_level(logging.ERROR, logger="wagtail_async_hooks"):
        for _ in range(2):
            fire(HOOK, None, None)
            measuring._Process.next_at = float("-inf")
            assert Client().get("/admin/login/").status_code == 200

    assert [record.getMessage() for record in caplog.records] == [
        "How long functions of hooks took cannot be recorded."
    ]
