"""What the database refuses at the end of a task blocks nobody: each input, on each database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    OperationalError,
    connection,
    connections,
)
from django.utils.translation import gettext_lazy

from tests.draining import run_all
from tests.faults.refusing import refusing
from tests.limits import PATIENCE
from tests.work import refused, tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.models import BackgroundTask, TaskAttempt, TaskItem, Worker
from wagtail_async_hooks.queue import refusals
from wagtail_async_hooks.types import Claim, ItemState, Outcome, State
from wagtail_async_hooks.utils.database import values as fitting

TABLE = BackgroundTask._meta.db_table


def only_row() -> BackgroundTask:
    return BackgroundTask.objects.get()


# What can be stored, as it is or in other words ----------------------------------------------


@pytest.mark.django_db
def test_progress__of_large_numbers() -> None:
    refused.report(3_000_000_000, 5_000_000_000)
    run_all()
    row = only_row()
    assert row.state == State.SUCCEEDED
    assert (row.progress_done, row.progress_total) == (3_000_000_000, 5_000_000_000)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("note", "stored"),
    [
        ("a\0b", "a\\x00b"),
        ("\ud800", "\\ud800"),
        ("x" * 300, "x" * 252 + "..."),
        ("😀" * 300, "😀" * 252 + "..."),
        (gettext_lazy("Done"), "Done"),
    ],
    ids=["NUL", "surrogate", "long", "emoji", "lazy"],
)
def test_progress__of_any_note(note: Any, stored: str) -> None:
    claimed(lambda claim: ledger.report(claim, refused_progress(note)))
    assert only_row().progress_note == stored


def refused_progress(note: Any) -> Any:
    from wagtail_async_hooks.queue.progress import _checked

    return _checked(1, 2, note)


def claimed(use: Callable[[Claim], Any]) -> Any:
    """Claim a task, and do something with it."""
    tasks.add(1, 2)
    _, claim = ledger.step(None, worker=None)
    assert claim is not None
    return use(claim)


class Index:
    def __index__(self) -> int:
        return 7


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("done", "total", "told"),
    [
        (1.5, 2, "progress(done=…) should be a whole number, but is 1.5."),
        (float("nan"), 2, "progress(done=…) should be a whole number, but is nan."),
        (None, 2, "progress(done=…) should be a whole number, but is None."),
        (True, 2, "progress(done=…) should be a whole number, but is True."),
        ("1", 2, "progress(done=…) should be a whole number, but is '1'."),
        (Decimal(1), 2, "progress(done=…) should be a whole number, but is Decimal('1')."),
        (-1, 2, "progress(done=…) should be between 0 and 9223372036854775807, but is -1."),
        (1, -2, "progress(total=…) should be between 0 and 9223372036854775807, but is -2."),
        (2**63, None, "but is 9223372036854775808."),
        (2**10_000, None, "but is a number of 10001 bits."),
        (1, "2", "progress(total=…) should be a whole number, but is '2'."),
    ],
)
def test_progress__of_no_number_is_the_callers_error(done: Any, total: Any, told: str) -> None:
    from wagtail_async_hooks import progress

    with pytest.raises((TypeError, ValueError)) as raised:
        progress(done, total)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.django_db
def test_progress__of_a_note_that_is_no_text() -> None:
    from wagtail_async_hooks import progress

    with pytest.raises(TypeError, match="should be a text, but is 5"):
        progress(1, 2, 5)  # type: ignore[arg-type]
    progress(Index(), 8)  # type: ignore[arg-type]


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["a\0b", "\ud800", "😀", "x" * 5_000_000], ids=range(4))
def test_error__of_any_text(text: str) -> None:
    refused.fail(text)
    claim = background.next()
    assert claim is not None
    background.attempt(claim)
    background.settle()
    row = only_row()
    assert (row.state, row.error_type) == (State.FAILED, "builtins.ValueError")
    assert len(row.error) < 3_000


@pytest.mark.django_db
def test_error__whose_class_has_a_long_name() -> None:
    refused.fail_with_a_long_name(400)
    run_all()
    row = only_row()
    assert row.state == State.FAILED
    assert 100 < len(row.error_type) <= 255


@pytest.mark.django_db
def test_messages__of_any_text() -> None:
    texts = ["a\0b", "\ud800", "😀", "x" * 10_000]
    refused.tell(texts)
    run_all()
    row = only_row()
    assert row.state == State.SUCCEEDED
    assert row.messages is not None
    assert [message["text"] for message in row.messages][:3] == ["a\\x00b", "\\ud800", "😀"]


@pytest.mark.django_db
def test_attempt__that_was_not_the_last_one(settings: Any) -> None:
    claimed(
        lambda claim: ledger.step(
            Outcome(
                claim,
                State.WAITING,
                error="a\0b \ud800 😀",
                error_type="E" * 300,
                traceback="\0",
            ),
            None,
            claim=False,
        )
    )
    attempt = TaskAttempt.objects.get()
    assert (attempt.error, attempt.traceback) == ("a\\x00b \\ud800 😀", "\\x00")
    assert len(attempt.error_type) == 255


@pytest.mark.django_db
def test_item__of_any_values() -> None:
    claimed(
        lambda claim: ledger.record_item(
            claim.pk, "k" * 320, "l\0" * 300, ItemState.DONE, error="\ud800", result=[float("nan")]
        )
    )
    [item] = TaskItem.objects.all()
    assert (item.error, item.result) == ("\\ud800", ["nan"])
    assert ledger.state_of(item.task_id, "k" * 320) == ItemState.DONE
    assert ledger.state_of(item.task_id, "k" * 321) is None
    assert ledger.keys_done(item.task_id) == {ledger.item_key("k" * 320)}


@pytest.mark.django_db
def test_worker__with_a_long_name() -> None:
    row = ledger.register_worker(
        Worker(
            host="h" * 300,
            process_space="\0" * 300,
            pid=2**40,
            threads=100_000,
            release="1.0" * 50,
            queues="\ud800",
        )
    )
    row.refresh_from_db()
    assert (row.host, row.threads, row.queues) == ("h" * 252 + "...", 32_767, "\\ud800")


@pytest.mark.django_db
def test_pause__for_any_reason() -> None:
    assert ledger.add_pause("queue", "slow", None, "a\0b \ud800")
    assert ledger.pauses()[0].reason == "a\\x00b \\ud800"


@pytest.mark.django_db
def test_cancel__for_any_reason() -> None:
    tasks.add(1, 2)
    ledger.cancel([only_row().pk], "a\0b")
    assert only_row().error == "a\\x00b"


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["k" * 300, "a\0b", "\ud800", b"\xff\0", "😀"], ids=range(5))
def test_value__under_any_key(key: Any) -> None:
    storage = background.storage
    storage.put_data(key, b"value")
    assert storage.peek_data(key) == b"value"
    assert storage.incr(key) == 1
    assert storage.put_if_empty(key, b"other") is False
    assert storage.pop_data(key) == b"value"


def test_value__that_is_refused_is_no_loop(committed_db: None) -> None:
    with pytest.raises(DatabaseError):
        background.storage.put_data("key", None)  # type: ignore[arg-type]


# What is too large ---------------------------------------------------------------------------


@pytest.fixture
def small_packets(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that says it takes a megabyte; a server's own limit is not ours to change."""
    from wagtail_async_hooks.ledger import outcomes

    monkeypatch.setattr(outcomes, "limit_of", lambda connection: 1_000_000)


def test_result__that_is_too_large_is_dropped_and_the_task_has_succeeded(
    small_packets: None, caplog: pytest.LogCaptureFixture
) -> None:
    result = refused.give(2_000_000)
    run_all()
    row = only_row()
    assert (row.state, row.result) == (State.SUCCEEDED, None)
    assert row.error.startswith("the result was not kept: 2000")
    assert result.get() is None
    assert "the result was not kept" in caplog.text


def test_result__that_fits_is_kept(small_packets: None) -> None:
    result = refused.give(200_000)
    run_all()
    assert only_row().error == ""
    assert result.get() == "x" * 200_000


def test_messages__of_which_there_are_too_many(small_packets: None) -> None:
    refused.tell(["😀" * 500] * 400)
    run_all()
    row = only_row()
    assert row.state == State.SUCCEEDED
    assert row.messages is not None
    assert len(row.messages) == 50


# What is refused -----------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "PAUSE", 0)
    monkeypatch.setattr(refusals, "SET_ASIDE", (0.0,))


def test_refused__result_is_dropped(committed_db: None, quick: None, caplog: Any) -> None:
    with refusing("NEW.result IS NOT NULL"):
        tasks.add(1, 2)
        tasks.add(3, 4)
        run_all()
    rows = BackgroundTask.objects.order_by("pk")
    assert [(row.state, row.result, row.error) for row in rows] == [(State.SUCCEEDED, None, "")] * 2
    assert caplog.text.count("is recorded without what is optional") == 2


def test_refused__whole_outcome_is_a_failure(committed_db: None, quick: None, caplog: Any) -> None:
    with refusing("NEW.state = 'succeeded'"):
        tasks.add(1, 2)
        refused.fail("of its own")
        run_all()
    first, second = BackgroundTask.objects.order_by("pk")
    assert first.state == State.FAILED
    assert first.error.startswith("could not be recorded: ")
    assert "refused" in first.error
    assert "it had succeeded" in first.error
    assert first.error.isascii()
    assert (second.state, second.error) == (State.FAILED, "of its own")
    assert "so it has failed" in caplog.text


def test_refused__altogether_is_set_aside_and_recorded_later(
    committed_db: None, quick: None, caplog: Any
) -> None:
    with refusing("NEW.finished_at IS NOT NULL AND NEW.priority = 5"):
        tasks.add(1, 2, priority=5)
        tasks.add(3, 4)
        begun = time.monotonic()
        run_all()
        assert time.monotonic() - begun < PATIENCE
        first, second = BackgroundTask.objects.order_by("pk")
        assert (first.state, second.state) == (State.RUNNING, State.SUCCEEDED)
        assert background.claims.holds(first.pk, 1)
        with caplog.at_level(logging.DEBUG):
            background.claims.record_set_aside()
        assert background.claims.holds(first.pk, 1)
    assert caplog.text.count("Not even the failure") == 1
    background.claims.record_set_aside()
    first.refresh_from_db()
    assert first.state == State.FAILED
    assert not background.claims.holds(first.pk, 1)
    background.claims.record_set_aside(all_of_them=True)


def test_refused__retry_is_a_failure(committed_db: None, quick: None) -> None:
    with refusing("NEW.state = 'scheduled'"):
        background.enqueue(refused.again.s(retries=3, retry_delay=60))
        run_all()
    row = only_row()
    assert row.state == State.FAILED
    assert "it was to run again: the chat said" in row.error


def test_claim__that_is_refused_does_not_lessen_what_ended(committed_db: None, quick: None) -> None:
    result = tasks.add(1, 2)
    with refusing("NEW.state = 'running' AND NEW.priority = -5"):
        tasks.add(3, 4, priority=-5)
        with pytest.raises(DatabaseError):
            run_all()
    assert result.get() == 3
    assert BackgroundTask.objects.get(priority=-5).state == State.WAITING


def test_encoding_error_of_the_driver_is_a_refusal(
    committed_db: None, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nothing has made fit, since it is new or was forgotten."""
    from wagtail_async_hooks.ledger import claiming, postgresql

    for module in (claiming, postgresql):
        monkeypatch.setattr(module, "fitted", lambda model, values, connection: dict(values))

    def fail() -> None:
        raise ValueError("…")

    monkeypatch.setattr("wagtail_async_hooks.queue.attempt.storable", lambda text: text)
    refused.fail("\ud800 a\0b")
    run_all()
    row = only_row()
    assert row.state == State.FAILED
    assert row.error.startswith(("\\ud800 a b", "\\ud800 a\\x00b"))


@pytest.fixture
def outcome(committed_db: None) -> Outcome:
    found: Outcome = claimed(lambda claim: Outcome(claim, State.SUCCEEDED))
    return found


def test_is_refused__a_server_that_hangs_up_on_what_is_too_large(outcome: Outcome) -> None:
    lost = OperationalError(2006, "Server has gone away")
    outcome.result = b"x" * 300_000
    found = [refusals.is_refused(outcome, lost, "default") for _ in range(refusals.LOSSES)]
    assert found == [False] * (refusals.LOSSES - 1) + [True]


def test_is_refused__an_outage_is_none(outcome: Outcome, monkeypatch: Any) -> None:
    lost = OperationalError(2006, "Server has gone away")
    assert not any(refusals.is_refused(outcome, lost, "default") for _ in range(10))
    assert not refusals.is_refused(outcome, OperationalError(1213, "Deadlock"), "default")
    assert refusals.is_refused(outcome, DataError("NUL"), "default")

    outcome.result = b"x" * 300_000

    def away(self: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(type(connections["default"]), "ensure_connection", away)
        assert not any(refusals.is_refused(outcome, lost, "default") for _ in range(10))


def test_set_aside__an_outage_keeps_all(outcome: Outcome, quick: None) -> None:
    kept = refusals.SetAside()
    kept.add(outcome)
    kept.add(outcome)

    def away(outcome: Outcome) -> None:
        raise OperationalError("away")

    def refuse(outcome: Outcome) -> None:
        raise IntegrityError("refused")

    with pytest.raises(OperationalError):
        kept.retry(away)
    assert len(kept) == 2
    kept.retry(refuse)
    assert len(kept) == 2
    kept.retry(lambda outcome: None)
    assert len(kept) == 0


# Encodings of MariaDB ------------------------------------------------------------------------


def test_error__with_an_emoji_where_mariadb_has_three_bytes(committed_db: None) -> None:
    if connection.vendor != "mysql":
        pytest.skip("only MySQL and MariaDB have such an encoding")
    tables = (TABLE, TaskAttempt._meta.db_table)

    def convert(encoding: str) -> None:
        fitting._asked.clear()
        with connection.cursor() as cursor:
            for table in tables:
                for column in ("error", "traceback"):
                    kind = f"longtext CHARACTER SET {encoding} NOT NULL"
                    cursor.execute(f"ALTER TABLE {table} MODIFY {column} {kind}")

    convert("utf8mb3")
    try:
        background.enqueue(refused.again.s(retries=1))
        run_all()
        BackgroundTask.objects.update(state=State.WAITING)
        run_all()
        row = only_row()
        assert (row.state, row.error) == (State.FAILED, "the chat said \\U0001f600")
        assert TaskAttempt.objects.get().error == "the chat said \\U0001f600"
    finally:
        BackgroundTask.objects.all().delete()
        convert("utf8mb4")
