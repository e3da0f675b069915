"""Tasks that raise what is no ``Exception``, or what nobody can read: they have failed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpRequest
from huey import signals as huey_signals

from tests import limits
from tests.processes import Process, wait_until
from tests.work import hostile_tasks, tasks
from tests.work.hostile_tasks import RAISED, OwnBaseException
from wagtail_async_hooks import background, hooks, signals
from wagtail_async_hooks.exceptions import BaseExceptionRaised
from wagtail_async_hooks.models import BackgroundTask, Schedule
from wagtail_async_hooks.queue import retries
from wagtail_async_hooks.serialization import arguments, codecs
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils import catching
from wagtail_async_hooks.utils.catching import stops

Start = Callable[..., Process]


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Heed Ctrl-C, which a process that a shell has started in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def run_all() -> None:
    """Run what waits, in this process."""
    with retries.without_least_delay():
        while (task := background.next()) is not None:
            background.execute(task)


def run_in_thread() -> None:
    """Run what waits in a thread, as a worker does."""

    def run() -> None:
        try:
            run_all()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


def row() -> BackgroundTask:
    """Return the only task."""
    return BackgroundTask.objects.get()


TOLD = {
    "own": ("my own", "tests.work.hostile_tasks.OwnBaseException"),
    "generator exit": ("closed", "builtins.GeneratorExit"),
    "keyboard interrupt": ("Ctrl-C of nobody", "builtins.KeyboardInterrupt"),
    "system exit": ("goodbye", "builtins.SystemExit"),
    "cancelled": ("given up", "asyncio.exceptions.CancelledError"),
    "group": ("two (2 sub-exceptions)", "builtins.BaseExceptionGroup"),
    "exception group": ("two (2 sub-exceptions)", "builtins.ExceptionGroup"),
    "stop iteration": ("no more", "builtins.StopIteration"),
    "stop async iteration": ("no more", "builtins.StopAsyncIteration"),
    "memory": ("no room", "builtins.MemoryError"),
    "recursion": ("maximum recursion depth", "builtins.RecursionError"),
    "unreadable": ("whose text cannot be read", "tests.work.hostile_tasks.Unreadable"),
    "no text": ("whose text cannot be read", "tests.work.hostile_tasks.NoText"),
    "long": ("xxx … (49998000 characters) … xxx", "builtins.ValueError"),
    "chain": ("the first of a long chain", "builtins.ValueError"),
    "elsewhere": ("who knows", "Elsewhere"),
    "untraceable": ("who knows", "tests.work.hostile_tasks.Untraceable"),
    "shapeless": ("who knows", "tests.work.hostile_tasks.Shapeless"),
}
"""What is recorded of each."""


# In a worker --------------------------------------------------------------------------------


@pytest.mark.slow
def test_worker__each_has_failed_once_and_the_drain_goes_on(start: Start, trace_file: Path) -> None:
    for name in TOLD:
        hostile_tasks.fail_with(str(trace_file), name)
    for name in ("own", "cancelled", "generator exit", "keyboard interrupt", "system exit"):
        hostile_tasks.fail_in_coroutine(str(trace_file), name)
    for how in ("inner", "itself", "exit"):
        hostile_tasks.await_cancelled(str(trace_file), how)
    tasks.trace(str(trace_file), "last")
    drain = start("wagtail_worker", "--drain", "--threads", "1")

    assert drain.wait() == 0
    assert "died" not in drain.said()
    *failed, last = BackgroundTask.objects.order_by("pk")
    assert last.state == State.SUCCEEDED
    assert {(task.state, task.attempt, task.deaths) for task in failed} == {(State.FAILED, 1, 0)}
    assert len(trace_file.read_text().splitlines()) == len(failed) + 1
    for (text, path), task in zip(TOLD.values(), failed, strict=False):
        assert text in task.error
        assert task.error_type.endswith(path)
        assert "Traceback" in task.traceback
        assert "fail_with" in task.traceback
    of_coroutines = [task.error_type for task in failed[len(TOLD) :]]
    assert of_coroutines == [
        *(TOLD[name][1] for name in ("own", "cancelled", "generator exit", "keyboard interrupt")),
        "builtins.SystemExit",
        *["asyncio.exceptions.CancelledError"] * 2,
        "builtins.SystemExit",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cancelled", "keyboard interrupt"])
def test_worker__retries_as_of_any_other_error(start: Start, trace_file: Path, name: str) -> None:
    hostile_tasks.fail_again(str(trace_file), name)

    start("wagtail_worker")
    wait_until(lambda: row().state == State.FAILED, "the last attempt has failed")
    assert len(trace_file.read_text().splitlines()) == 3
    assert (row().state, row().attempt, row().error_type) == (State.FAILED, 3, TOLD[name][1])


@pytest.mark.slow
def test_worker__a_periodic_task_recurs(start: Start, trace_file: Path) -> None:
    entry = json.dumps({"hostile": {"function": f"{__name__}.recur", "crontab": "* * * * *"}})
    worker = start("wagtail_worker", TEST_SCHEDULE=entry)
    worker.wait_for("Background hooks")
    wait_until(lambda: Schedule.objects.exists(), "it is planned")
    failed = BackgroundTask.objects.filter(state=State.FAILED)
    for number in (1, 2):
        Schedule.objects.update(next_due_at="2026-01-01T00:00:00+00:00", last_due_at=None)
        wait_until(lambda n=number: failed.count() >= n, f"run {number} has failed")


def recur() -> None:
    """Raise what is no ``Exception``."""
    raise OwnBaseException("every time")


@pytest.mark.slow
def test_worker__only_stopping_hands_back(start: Start, trace_file: Path, tmp_path: Path) -> None:
    worker = start("wagtail_worker", "--threads", "1", TEST_WORKER='{"shutdown_timeout": 0.2}')
    tasks.wait_for(str(trace_file), str(tmp_path / "gate"))
    wait_until(lambda: "began" in trace_file.read_text(), "it has begun")
    worker.send(signal.SIGINT)

    assert worker.wait() == 0
    assert (row().state, row().worker_id) == (State.WAITING, None)


# Keys, slots, follow-ups ---------------------------------------------------------------------


def test_keys__are_released(committed_db: None, settings: Any, task_of: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"narrow": {"limit": 1}}}

    def give_up() -> None:
        raise asyncio.CancelledError

    task = task_of(give_up, exclusive="the one", queue="narrow")
    for _ in range(3):
        task()
    run_in_thread()

    found = BackgroundTask.objects.values_list("state", "attempt")
    assert list(found) == [(State.FAILED, 1)] * 3


@pytest.mark.django_db
def test_follow_ups__on_error_post_execute_and_signals_hear_of_it(task_of: Any) -> None:
    heard: list[Any] = []

    def hear(error: Any) -> None:
        heard.append(("on_error", type(error).__name__, str(error)))

    def give_up() -> None:
        raise OwnBaseException("my own")

    def post(task: Any, value: Any, error: Any) -> None:
        if task.name == "give_up":
            heard.append(("post_execute", type(error)))

    def receive(name: str, task: Any, error: Any) -> None:
        heard.append((name, type(error)))

    background.post_execute("post")(post)
    background.signal(huey_signals.SIGNAL_ERROR)(receive)
    try:
        background.enqueue(task_of(give_up).s().error(task_of(hear)))
        run_all()
    finally:
        background.unregister_post_execute("post")
        background.disconnect_signal(receive, huey_signals.SIGNAL_ERROR)

    told = "tests.work.hostile_tasks.OwnBaseException: my own"
    assert ("on_error", "RemoteError", told) in heard
    assert (huey_signals.SIGNAL_ERROR, BaseExceptionRaised) in heard
    assert ("post_execute", BaseExceptionRaised) in heard


@pytest.mark.django_db
def test_result__says_what_was_raised(task_of: Any) -> None:
    def give_up() -> None:
        raise OwnBaseException("my own")

    result = task_of(give_up)()
    run_all()

    with pytest.raises(Exception, match=r"^OwnBaseException\('my own'\)$"):
        result.get()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "state", "attempts"),
    [
        ({"retries": 1}, State.FAILED, 2),
        ({"retries": 1, "retry_on": OwnBaseException}, State.FAILED, 2),
        ({"retries": 1, "retry_on": ValueError}, State.FAILED, 1),
        ({"retries": 1, "discard_on": OwnBaseException}, State.CANCELLED, 1),
    ],
)
def test_options__are_asked_about_what_was_raised(
    task_of: Any, options: dict[str, Any], state: State, attempts: int
) -> None:
    def give_up() -> None:
        raise OwnBaseException("my own")

    task_of(give_up, **options)()
    run_all()

    assert (row().state, row().attempt, row().error) == (state, attempts, "my own")


@pytest.mark.django_db
def test_explain__is_asked_about_what_was_raised(task_of: Any) -> None:
    def give_up() -> None:
        raise OwnBaseException("my own")

    task_of(give_up, explain={OwnBaseException: "Nobody’s fault."})()
    run_all()

    assert row().explanation == "Nobody’s fault."


# Functions of the site's around a task ------------------------------------------------------


class Moody(type):
    """A metaclass of exceptions that do not say what is one of them."""

    def __instancecheck__(cls, instance: object) -> bool:
        raise OwnBaseException("of the metaclass")


class MoodyError(Exception, metaclass=Moody):
    """An exception of that kind."""


@pytest.mark.django_db
@pytest.mark.parametrize("option", ["retry_on", "discard_on"])
def test_metaclass__that_raises_says_no(task_of: Any, option: str) -> None:
    def give_up() -> None:
        raise ValueError("the function's own")

    task_of(give_up, retries=1, **{option: MoodyError})()
    run_all()

    assert (row().state, row().error) == (State.FAILED, "the function's own")


@pytest.mark.django_db
def test_receivers__of_ours_that_raise_break_nothing(
    task_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def receive(sender: str, **told: Any) -> None:
        raise OwnBaseException("of a receiver")

    with signals.started.connected_to(receive), signals.succeeded.connected_to(receive):
        tasks.add(1, 2)
        run_all()

    assert row().state == State.SUCCEEDED
    told = [record for record in caplog.records if "A receiver of the signal" in record.message]
    assert len(told) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("name", [huey_signals.SIGNAL_EXECUTING, huey_signals.SIGNAL_COMPLETE])
def test_receivers__of_hueys_that_raise_break_nothing(name: str) -> None:
    def receive(name: str, task: Any) -> None:
        raise OwnBaseException("of a receiver")

    background.signal(name)(receive)
    try:
        tasks.add(1, 2)
        run_all()
    finally:
        background.disconnect_signal(receive, name)

    assert row().state == State.SUCCEEDED
    assert background._signal.receivers[name] == (
        [background._note] if name == huey_signals.SIGNAL_COMPLETE else []
    )


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["pre_execute", "post_execute"])
def test_hooks_of_huey__that_raise_break_nothing(name: str) -> None:
    def act(*told: Any) -> None:
        raise OwnBaseException("of a hook")

    assert getattr(background, name)()(act) is act
    try:
        tasks.add(1, 2)
        run_all()
    finally:
        assert getattr(background, f"unregister_{name}")(act)

    assert row().state == State.SUCCEEDED


@pytest.mark.django_db
def test_explain__that_raises(task_of: Any) -> None:
    def explain(error: BaseException) -> str:
        raise OwnBaseException("of the explanation")

    def give_up() -> None:
        raise ValueError("no luck")

    task_of(give_up, explain=explain)()
    run_all()

    assert (row().state, row().error, row().explanation) == (State.FAILED, "no luck", "")


class Picky:
    """What cannot be put into a title or a key."""

    def __str__(self) -> str:
        raise OwnBaseException("of a text")


@pytest.mark.django_db
def test_title_and_key__that_raise_leave_a_gap(task_of: Any) -> None:
    def work(number: int) -> int:
        return number

    def key(number: int) -> str:
        raise OwnBaseException("of a key")

    task_of(work, title="About {number.real.__class__.nothing}", coalesce=key)(1)

    assert row().coalesce_key == ""


def test_on_commit__that_raises_fails_the_task(task_of: Any, committed_db: None) -> None:
    def give_up() -> None:
        raise OwnBaseException("after the commit")

    def work() -> None:
        with transaction.atomic():
            transaction.on_commit(give_up)

    task_of(work)()
    run_in_thread()

    assert (row().state, row().error) == (State.FAILED, "after the commit")


# Arguments and results ------------------------------------------------------------------------


class Parcel:
    """A value that travels by a codec of the test's."""


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A codec, whose two functions the test may replace."""
    does: dict[str, Any] = {"encode": lambda value: 1, "decode": lambda payload: Parcel()}
    for name in ("_by_kind", "_by_type"):
        monkeypatch.setattr(codecs, name, dict(getattr(codecs, name)))
    codecs._codec_for.cache_clear()
    arguments.register(
        Parcel, lambda value: does["encode"](value), lambda payload: does["decode"](payload)
    )
    yield does
    codecs._codec_for.cache_clear()


def give_up(value: Any = None) -> Any:
    """Raise what is no ``Exception``."""
    raise OwnBaseException("of a codec")


@pytest.mark.django_db
def test_arguments__that_cannot_be_made_again_fail_the_task(codec: dict[str, Any]) -> None:
    tasks.show(Parcel())
    codec["decode"] = give_up
    run_all()

    assert row().state == State.FAILED
    assert "of a codec" in row().error


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["codec", "list"])
def test_result__that_cannot_be_packed_ends_the_task(
    codec: dict[str, Any], task_of: Any, value: str
) -> None:
    class Endless(list):  # type: ignore[type-arg]
        __iter__ = give_up

    def work() -> Any:
        return Parcel() if value == "codec" else Endless([1])

    codec["encode"] = give_up
    task_of(work)()
    run_all()

    assert State(row().state).is_final


# In the request -------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("immediate")
@pytest.mark.parametrize("name", sorted(set(RAISED) - {"long"}))
def test_immediate__never_breaks_the_request(task_of: Any, name: str) -> None:
    def fail() -> None:
        raise RAISED[name]()

    with transaction.atomic():
        task_of(fail)()  # returns
        assert not transaction.get_connection().needs_rollback


raised: list[str] = []


def raise_in_request(request: HttpRequest, page: Any) -> None:
    """Raise something."""
    raise RAISED[raised[0]]()


@pytest.mark.usefixtures("no_table")
@pytest.mark.parametrize("name", ["own", "cancelled", "system exit"])
def test_in_the_request__never_breaks_the_publish(
    rf: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    raised[:] = [name]
    with hooks.register_temporarily("after_publish_page", raise_in_request, background=True):
        [*_, function] = hooks.get_hooks("after_publish_page")
        function(rf.post("/"), None)

    assert "raise_in_request" in caplog.text
    assert "failed in the request" in caplog.text


@pytest.mark.django_db
def test_recording__a_codec_that_raises_breaks_no_publish(
    rf: Any, codec: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    raised[:] = ["own"]
    codec["encode"] = give_up
    with hooks.register_temporarily("after_publish_page", raise_in_request, background=True):
        [*_, function] = hooks.get_hooks("after_publish_page")
        function(rf.post("/"), Parcel())

    assert "an argument cannot be carried" in caplog.text
    assert "failed in the request" in caplog.text


IN_A_PROCESS = """
import os, signal, sys, threading, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["SITE_BACKEND"] = ""
import django
django.setup()
from wagtail_async_hooks import background

@background.task()
def wait():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.{name})).start()
    time.sleep(30)

def stop(number, frame):
    sys.exit(7)

signal.signal(signal.SIGTERM, stop)  # as gunicorn's workers do
wait()
print("went on")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 7)])
def test_immediate__what_stops_the_server_goes_on_to_stop_it(name: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS.format(name=name)],
        capture_output=True,
        text=True,
        timeout=limits.TEST,
        check=False,
    )

    assert "went on" not in done.stdout
    assert done.returncode == code, done.stderr


# What is a stop -------------------------------------------------------------------------------


def caught(call: Callable[[], Any]) -> BaseException:
    """Return what a call raises."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def press_ctrl_c() -> None:
    """Send the signal of Ctrl-C to this process, and wait for it."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def raise_ctrl_c() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


def test_stops__ctrl_c_does_and_what_code_raises_does_not() -> None:
    assert stops(caught(press_ctrl_c))
    assert not stops(caught(raise_ctrl_c))
    assert not stops(caught(lambda: sys.exit(1)))
    assert not stops(caught(lambda: 1 / 0))


def test_stops__asyncio_answers_to_ctrl_c() -> None:
    async def wait() -> None:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(5)

    assert stops(caught(lambda: asyncio.run(wait())))


def test_stops__what_a_signal_handler_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(number: int, frame: Any) -> None:
        sys.exit(1)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        assert stops(caught(lambda: (os.kill(os.getpid(), signal.SIGUSR1), time.sleep(1))))
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_stops__nothing_in_another_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(lambda: stops(caught(raise_ctrl_c))).result()


@pytest.mark.django_db
def test_execute__ctrl_c_hands_back_and_goes_on(task_of: Any) -> None:
    task_of(press_ctrl_c)()

    with pytest.raises(KeyboardInterrupt):
        run_all()
    assert row().state == State.WAITING


@pytest.mark.django_db
def test_execute__what_a_function_raises_by_itself_fails_it(task_of: Any) -> None:
    task_of(raise_ctrl_c)()
    run_all()

    assert (row().state, row().error_type) == (State.FAILED, "builtins.KeyboardInterrupt")


def test_guarded__equals_its_function() -> None:
    assert catching.Guarded(give_up) == give_up
    assert [catching.Guarded(give_up)].index(give_up) == 0
    assert hash(catching.Guarded(give_up)) == hash(give_up)
