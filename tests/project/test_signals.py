"""Tests of the signals: whom they reach, and that a receiver cannot do harm."""

from typing import Any

import pytest
from blinker import NamedSignal

from wagtail_async_hooks import signals


class Receiver:
    """Keeps what it was sent, and fails if asked to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.error = error

    def __call__(self, sender: str, **arguments: Any) -> None:
        self.received.append((sender, arguments))
        if self.error is not None:
            raise self.error


@pytest.fixture
def signal() -> NamedSignal:
    return NamedSignal("tested")


def test_announce__reaches_every_receiver(signal: NamedSignal) -> None:
    first, second = Receiver(), Receiver()
    signal.connect(first)
    signal.connect(second)

    signals.announce(signal, "after_edit_page", task=7, duration=0.5)

    expected = [("after_edit_page", {"task": 7, "duration": 0.5})]
    assert (first.received, second.received) == (expected, expected)


def test_announce__without_receivers(signal: NamedSignal) -> None:
    signals.announce(signal, "after_edit_page", task=7)


def test_announce__only_the_sender_asked_for(signal: NamedSignal) -> None:
    edits, moves = Receiver(), Receiver()
    signal.connect(edits, sender="after_edit_page")
    signal.connect(moves, sender="after_move_page")

    signals.announce(signal, "_".join(["after", "edit", "page"]), task=7)  # equal, not identical

    assert edits.received == [("after_edit_page", {"task": 7})]
    assert moves.received == []


def test_announce__a_receiver_that_raises_is_logged(
    signal: NamedSignal, caplog: pytest.LogCaptureFixture
) -> None:
    receivers = [Receiver(), Receiver(ValueError("no bell")), Receiver()]
    for receiver in receivers:
        signal.connect(receiver)

    signals.announce(signal, "after_edit_page", task=7)

    assert [len(receiver.received) for receiver in receivers] == [1, 1, 1]
    [record] = caplog.records
    assert (record.name, record.levelname) == ("wagtail_async_hooks.signals", "ERROR")
    assert "'tested'" in record.getMessage()
    assert f"{__name__}.Receiver" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no bell"


def test_announce__does_not_swallow_an_exit(signal: NamedSignal) -> None:
    def receiver(sender: str) -> None:
        raise KeyboardInterrupt

    signal.connect(receiver)

    with pytest.raises(KeyboardInterrupt):
        signals.announce(signal, "after_edit_page")


def test_signals__are_those_of_the_table() -> None:
    assert signals.__doc__ is not None
    named = {name for name, found in vars(signals).items() if isinstance(found, NamedSignal)}

    assert named == {
        "enqueued",
        "started",
        "progressed",
        "succeeded",
        "failed",
        "retrying",
        "snoozed",
        "merged",
        "cancelled",
        "expired",
        "rescued",
        "worker_started",
        "worker_stopped",
    }
    for name in named:
        assert f"\n``{name}``" in signals.__doc__
        assert getattr(signals, name).name == name
