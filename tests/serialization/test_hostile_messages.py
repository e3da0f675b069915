"""Messages that nobody but an attacker writes: a worker refuses each, records why, and goes on.

For each backend, one real worker process is given all of them, one after the other. After each, it
has to run the task that comes next.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.signing import Signer
from django.db import connection, transaction
from django.test import override_settings
from redis import Redis

from tests.conftest import empty_redis, real_commits
from tests.processes import PATIENCE, Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask, StoredValue
from wagtail_async_hooks.queue.claims import UNKNOWN_TASK_DELAYS
from wagtail_async_hooks.types import State

SALT: Final = "wagtail_async_hooks.message"
NAME: Final = "tests.work.tasks.show"
"""A task that returns what it was given, as text."""

HUGE: Final = 50_000_000
"""Bytes of what is far too long."""

REFUSED, UNKNOWN, FAILED_CODEC = (
    f"wagtail_async_hooks.exceptions.{name}"
    for name in ("MessageRefused", "UnknownTask", "CodecFailed")
)


PICKLED: Final = b"cimportlib\nimport_module\n(S'tests.work.tripwire'\ntR."
"""What would import the tripwire if somebody unpickled it."""


def signed(text: str, key: str | None = None) -> bytes:
    """Sign a text as the site does, whatever it says; or as another one, with its key."""
    return Signer(key=key, salt=SALT).sign(text).encode()


def of(value: Any) -> bytes:
    """Sign a document."""
    return signed(json.dumps(value))


def call(context: Any = None, **fields: Any) -> bytes:
    """Sign a message, some of whose fields are not what they should be."""
    message = {"id": "7", "name": NAME, "args": [1], "kwargs": {}, **fields}
    document = {"v": 1, "d": {"$": "message", "v": message}}
    return of(document if context is None else {**document, "c": context})


def argument(kind: str, payload: Any) -> bytes:
    """Sign a message with one argument, for a codec."""
    return call(args=[{"$": kind, "v": payload}])


@dataclass(frozen=True)
class Hostile:
    """A message, and what is to become of its row.

    :param what: in words.
    :param message: in place of a good one.
    :param error_type: path of the error that is recorded.
    :param reason: pattern of what it says.
    """

    what: str
    message: bytes | Callable[[bytes], bytes]
    error_type: str
    reason: str

    def made_of(self, good: bytes) -> bytes:
        """Return the message."""
        return self.message(good) if callable(self.message) else self.message


ALTERED: Final = r"^the message was altered, or signed with another SECRET_KEY \(add the former"

ALIEN: Final = (
    Hostile("altered", lambda good: good.replace(b"harmless", b"harmful!"), REFUSED, ALTERED),
    Hostile("altered signature", lambda good: good[:-9] + b"x" * 9, REFUSED, ALTERED),
    Hostile("signature alone", lambda good: good[good.rindex(b":") :], REFUSED, ALTERED),
    Hostile("no signature", lambda good: good[: good.rindex(b":")], REFUSED, ALTERED),
    Hostile("another site's", signed('{"v": 1, "d": 1}', "another site's"), REFUSED, ALTERED),
    Hostile("nothing", b"", REFUSED, ALTERED),
    Hostile("not ASCII", "{“v”: 1}".encode(), REFUSED, ALTERED),
    Hostile("no text at all", bytes(range(256)), REFUSED, ALTERED),
    Hostile("pickle", PICKLED, REFUSED, ALTERED),
    Hostile("deep, and not signed", b"[" * 1_000_000, REFUSED, ALTERED),
)
"""What somebody writes who can write into the database, but does not know the key."""

NOT_OURS: Final = r"^the message is not one of this package: "
SHAPE: Final = r"^the message's \"{}\" cannot be a {}\.$"

MISSHAPEN: Final = (
    Hostile("deep", signed("[" * 1_000_000), REFUSED, r"^the message is nested too deeply\.$"),
    Hostile("no JSON", signed("{]"), REFUSED, NOT_OURS),
    Hostile("a list", of([]), REFUSED, NOT_OURS),
    Hostile("a number", of(7), REFUSED, NOT_OURS),
    Hostile("without a version", of({"d": 1}), REFUSED, NOT_OURS),
    Hostile("of a later version", of({"v": 99, "d": 1}), REFUSED, r"has version 99, this release"),
    Hostile("a result", of({"v": 1, "d": "done"}), REFUSED, r"^what was stored as a message is"),
    Hostile("a field too many", call(colour=1), REFUSED, r"lacks a field or has one too many"),
    Hostile("arguments", call(args=7), REFUSED, SHAPE.format("args", "int")),
    Hostile("keywords", call(kwargs=[1]), REFUSED, SHAPE.format("kwargs", "list")),
    Hostile("no name", call(name=None), REFUSED, SHAPE.format("name", "NoneType")),
    Hostile("time", call(eta="soon"), REFUSED, SHAPE.format("eta", "str")),
    Hostile("retries", call(retries=0.1), REFUSED, SHAPE.format("retries", "float")),
    Hostile("follow-up", call(on_complete=7), REFUSED, SHAPE.format("on_complete", "int")),
    Hostile("chord", call(chord_config=[1, 2, 3, 4]), REFUSED, NOT_OURS),
    Hostile("context", call(context=5), REFUSED, NOT_OURS),
    Hostile("target", call(context={"target": 5}), REFUSED, NOT_OURS),
    Hostile("language", call(context={"language": 5}), "builtins.AttributeError", r"'int' object"),
    Hostile(
        "time zone",
        call(context={"time_zone": "../../etc/passwd"}),
        "builtins.ValueError",
        r"must refer to subdirectories of TZPATH",
    ),
    Hostile(
        "names of keywords",
        call(kwargs={"$": "dict", "v": [[1, 2]]}),
        "builtins.TypeError",
        r"keywords must be strings",
    ),
)
"""What has the signature of the site, but is no message of ours."""

NO_CODEC: Final = r"^no codec \"{}\" is registered in this process\.$"
FAILED: Final = r"^the codec \"{}\" could not make a value of its message again: "

PAYLOADS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("class", "os:system", FAILED),
    ("class", "tests.work.tripwire:Wire", FAILED),
    ("class", "tests.work.tasks:leave_trace", FAILED),
    ("class", 7, FAILED),
    ("exception", [], FAILED),
    ("exception", [7, 7], FAILED),
    ("model", {"model": "os.system", "pk": 1}, FAILED),
    ("model", {"model": "auth.user", "pk": {"$": "dict", "v": []}}, FAILED),
    ("model", {"model": "auth.user", "pk": 1, "db": "tests.work.tripwire"}, FAILED),
    ("models", 7, FAILED),
    ("sequence", [["auth.user"]], FAILED),
    ("draft", {"model": "tests.work.tripwire"}, FAILED),
    ("snapshot", {"model": "tests.work.tripwire", "data": {}}, FAILED),
    ("request", {"method": "GET"}, FAILED),
    ("bulk_action", [1], FAILED),
    ("promise", ["system", "touch"], FAILED),
    ("model_class", "tests.work.tripwire", FAILED),
    ("time_zone", "../../../etc/passwd", FAILED),
    ("bytes", "€", FAILED),
    ("int", 7, FAILED),
    ("set", [[]], FAILED),
    ("tests.work.tripwire.Wire", "x", NO_CODEC),
    ("pickle", "gASVBQAAAAAAAABLAS4=", NO_CODEC),
)
"""For a codec each: what it cannot make a value of."""

HOSTILE: Final = (
    *ALIEN,
    *MISSHAPEN,
    *(
        Hostile(
            f"{kind}: {payload}",
            argument(kind, payload),
            REFUSED if reason is NO_CODEC else FAILED_CODEC,
            reason.format(kind),
        )
        for kind, payload, reason in PAYLOADS
    ),
)

HARMLESS: Final = (
    ("exception", ["tests.work.tripwire.Wire", "x"], "RemoteError: tests.work.tripwire.Wire: x"),
    ("exception", ["os.system", "touch"], "RemoteError: os.system: touch"),
    ("exception", ["tests.work.tasks.leave_trace", "x"], "RemoteError: tests.work.tasks.leave"),
    ("exception", ["subprocess.Popen", "touch"], "RemoteError: subprocess.Popen: touch"),
    ("class", "subprocess:Popen", "type: <class 'subprocess.Popen'>"),
)
"""What arrives, as a value that does nothing."""


# The worker ---------------------------------------------------------------------------------


class Victim:
    """A worker process with one thread, and what it is given to run."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.traces = folder / "traces.txt"
        self.tripwire = folder / "tripwire.txt"
        self.process = Process.manage(
            *("wagtail_worker", "--threads", "1"),
            output=folder / "output.txt",
            TEST_TRIPWIRE=str(self.tripwire),
            **environment,
        )
        self.number = 0

    def given(self, message: bytes | Callable[[bytes], bytes]) -> BackgroundTask:
        """Return the row of a message, once the worker has done with it."""
        with transaction.atomic():
            tasks.show("harmless")
            row = BackgroundTask.objects.latest("pk")
            made = message(bytes(row.message)) if callable(message) else message
            BackgroundTask.objects.filter(pk=row.pk).update(message=made)
        return self.done_with(row)

    def done_with(self, row: BackgroundTask) -> BackgroundTask:
        """Return a row, once the worker has done with it."""
        rows = BackgroundTask.objects.filter(pk=row.pk)

        def is_done() -> bool:
            return rows.exclude(state__in=(State.WAITING, State.RUNNING)).exists()

        wait_until(is_done, f"the worker has done with task {row.pk}")
        return rows.get()

    def goes_on(self) -> bool:
        """Return whether it runs the next task, and has neither imported nor called anything."""
        self.number += 1
        tasks.trace(str(self.traces), self.number)
        row = self.done_with(BackgroundTask.objects.latest("pk"))
        return row.state == State.SUCCEEDED and not self.tripwire.exists()

    def died(self) -> bool:
        """Return whether a thread has ended before its time."""
        return bool(re.search("died|restarting", self.process.said()))

    @contextmanager
    def taking_at_most(self, size: int) -> Iterator[None]:
        """Require that it needs no more memory than so many bytes, and little time."""
        status = Path(f"/proc/{self.process.pid}/status")
        begun, before = time.monotonic(), _memory(status, "VmRSS")
        if before is not None:
            status.with_name("clear_refs").write_text("5")  # forget the peak so far
        yield
        peak = _memory(status, "VmHWM")
        assert before is None or peak is None or peak - before < size
        assert time.monotonic() - begun < PATIENCE / 2


def _memory(status: Path, name: str) -> int | None:
    """Return how much memory a process takes, where the system tells it."""
    found = re.search(rf"{name}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else None


@contextmanager
def worker(folder: Path, backend: str, blocker: Any) -> Iterator[Victim]:
    """Run a worker."""
    options = empty_redis() if backend == "redis" else {}
    patient = {**options, "socket_timeout": PATIENCE} if options else {}  # some messages are huge
    chosen = {"BACKEND": backend, "BACKEND_OPTIONS": patient}
    environment = {"SITE_BACKEND": backend, "SITE_BACKEND_OPTIONS": json.dumps(options)}
    with real_commits(blocker), override_settings(WAGTAIL_TASKS=chosen):
        victim = Victim(folder, **environment)
        try:
            victim.process.wait_for("Background hooks")
            yield victim
        finally:
            victim.process.stop()


@pytest.fixture(scope="module", params=["database", "redis"])
def victim(
    request: pytest.FixtureRequest,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Victim]:
    """The one worker of each backend."""
    with worker(tmp_path_factory.mktemp("victim"), request.param, django_db_blocker) as victim:
        yield victim


@pytest.fixture
def notifier(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The Redis that notifies the worker, with the patience of tests for what is huge."""
    found = background.storage.notifier
    options = {**found.conn.connection_pool.connection_kwargs, "socket_timeout": PATIENCE}
    with Redis(
        **{name: options[name] for name in ("host", "port", "db", "socket_timeout")}
    ) as patient:
        monkeypatch.setattr(found, "conn", patient)
        yield found


with_a_bell = pytest.mark.parametrize("victim", ["redis"], indirect=True)


def test_tripwire__tells_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tripwire.txt"
    monkeypatch.setenv("TEST_TRIPWIRE", str(path))
    monkeypatch.delitem(sys.modules, "tests.work.tripwire", raising=False)

    module = importlib.import_module("tests.work.tripwire")
    module.Wire("x")
    module.pull()
    monkeypatch.delitem(sys.modules, "tests.work.tripwire")

    assert path.read_text() == "imported\nmade x\ncalled\n"


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.what)
def test_worker__refuses_and_goes_on(victim: Victim, hostile: Hostile) -> None:
    row = victim.given(hostile.message)

    assert (row.state, row.error_type, row.attempt) == (State.FAILED, hostile.error_type, 1)
    assert re.search(hostile.reason, row.error)
    assert "Traceback" in row.traceback
    assert victim.goes_on()
    assert not victim.died()
    victim.process.wait_for(rf"\[task {row.pk}\] failed after .*: \S")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "payload", "told"), HARMLESS)
def test_worker__makes_a_harmless_value_and_goes_on(
    victim: Victim, kind: str, payload: Any, told: str
) -> None:
    row = victim.given(argument(kind, payload))

    assert (row.state, row.error) == (State.SUCCEEDED, "")
    assert background.serializer.deserialize(bytes(row.result)).startswith(told)
    assert victim.goes_on()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["os.system", "tests.work.tripwire.pull", "tests.work.tasks.leave_trace"]
)
def test_worker__keeps_a_task_that_it_does_not_know_and_goes_on(victim: Victim, name: str) -> None:
    row = victim.given(call(name=name))

    assert (row.state, row.error_type) == (State.SCHEDULED, UNKNOWN)
    assert row.error.startswith(f"{name} not found in TaskRegistry; the code that enqueued it")
    assert (row.run_at - row.started_at).total_seconds() >= UNKNOWN_TASK_DELAYS[0] - 1
    assert victim.goes_on()

    rows = BackgroundTask.objects.filter(pk=row.pk)
    rows.update(state=State.WAITING, attempt=len(UNKNOWN_TASK_DELAYS))
    background.storage.announce([(row.pk, 0)])
    row = victim.done_with(row)
    assert (row.state, row.error_type) == (State.FAILED, UNKNOWN)
    assert victim.goes_on()


@pytest.mark.slow
def test_worker__refuses_what_is_huge_in_little_time_and_memory(victim: Victim) -> None:
    size = _as_much_as_the_database_takes()
    huge = signed('{"v": 1, "d": "' + "x" * (size - 100) + '"}')

    with victim.taking_at_most(8 * size):
        row = victim.given(huge)
        assert victim.goes_on()

    assert (row.state, row.error_type) == (State.FAILED, REFUSED)
    assert re.search(r"takes [\d.]+ MB, and 8 MB is the most\.$", row.error)


def _as_much_as_the_database_takes() -> int:
    if connection.vendor != "mysql":
        return HUGE
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        return min(HUGE, int(cursor.fetchone()[0]) // 2 - 50_000)  # it is sent in hexadecimal


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "reason"),
    [(PICKLED, ALTERED), (of({"v": 1, "d": 7}), "cannot unpack")],
    ids=["pickle", "wrong shape"],
)
def test_worker__refuses_a_forged_revocation_and_goes_on(
    victim: Victim, value: bytes, reason: str
) -> None:
    StoredValue.objects.create(storage=background.storage.name, key=f"rt:{NAME}", value=value)
    try:
        row = victim.given(call())
        assert row.state == State.FAILED
        assert re.search(reason, row.error)
        assert victim.goes_on()
    finally:
        StoredValue.objects.all().delete()


# The notifier -------------------------------------------------------------------------------


def sent(member: bytes) -> bytes:
    """Return what Huey makes of a message: eight bytes of time come first."""
    return b"\0" * 8 + member


GARBAGE: Final = (
    *(b"", b"short", sent(b""), sent(b"0"), sent(b"-1"), sent(b"999999"), sent(b"1e3")),
    *(sent(b"%d" % number) for number in (2**63 - 1, 2**63, 2**64, 10**30)),
    *(sent(b"0x10"), sent(b"\xff\xfe"), sent("½".encode()), sent(b"9" * 5000), sent(b"1 OR 1=1")),
    sent(PICKLED),
    sent(call()),
)
"""What somebody writes who can write to Redis."""


@pytest.mark.slow
@with_a_bell
@pytest.mark.parametrize("garbage", GARBAGE)
def test_worker__drops_garbage_from_redis_and_goes_on(
    victim: Victim, notifier: Any, garbage: bytes
) -> None:
    notifier.conn.zadd(notifier.queue_key, {garbage: float("-inf")})
    wait_until(lambda: not notifier.queue_size(), "the garbage is taken")

    assert victim.goes_on()
    assert not victim.died()


@pytest.mark.slow
@with_a_bell
@pytest.mark.parametrize("byte", [b"9", b"\xff"])
def test_worker__drops_what_is_huge_from_redis_in_little_time_and_memory(
    victim: Victim, notifier: Any, byte: bytes
) -> None:
    with victim.taking_at_most(4 * HUGE):
        notifier.conn.zadd(notifier.queue_key, {sent(byte * HUGE): float("-inf")})
        wait_until(lambda: not notifier.queue_size(), "it is taken")
        assert victim.goes_on()

    said = victim.process.said()
    assert f"not ours was dropped from the storage: {byte * 80!r}\n" in said
    assert len(said) < 1_000_000


@pytest.mark.slow
@with_a_bell
@pytest.mark.parametrize("state", [State.SCHEDULED, State.FAILED])
def test_worker__a_stranger_who_rings_runs_nothing_but_what_waits(
    victim: Victim, notifier: Any, state: State
) -> None:
    if state == State.SCHEDULED:
        tasks.trace.schedule((str(victim.traces), "later"), delay=3600)
        row = BackgroundTask.objects.latest("pk")
    else:
        row = victim.given(b"")
    attempts = row.attempt

    for priority in (-5, 5, float("inf")):
        notifier.conn.zadd(notifier.queue_key, {sent(b"%d" % row.pk): priority})
        wait_until(lambda: not notifier.queue_size(), "the notification is read")
        assert victim.goes_on()

    row.refresh_from_db()
    assert (row.state, row.attempt) == (state, attempts)
    assert "later" not in victim.traces.read_text()


@pytest.mark.slow
@with_a_bell
def test_worker__does_without_a_queue_that_a_stranger_has_replaced(
    victim: Victim, notifier: Any
) -> None:
    notifier.conn.set(notifier.queue_key, PICKLED)
    try:
        assert victim.goes_on()
        victim.process.wait_for("cannot be reached, so tasks are found in the ledger")
        assert victim.goes_on()
    finally:
        notifier.conn.delete(notifier.queue_key)
    assert not victim.died()
