"""Tests of muted errors, and of the keys of their groups."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import MutedError


@pytest.mark.django_db
def test_mute__the_user_is_forgotten_when_deleted(editor: Any) -> None:
    ledger.mute("A", "b", "c", user=editor.pk)
    ledger.forget_user(editor.pk)
    assert MutedError.objects.get().user_id is None


@pytest.mark.django_db
@pytest.mark.parametrize("texts", [("A" * 300, "", ""), ("é\ud800\0", "", ""), ("", "", "")])
def test_mute__whatever_the_texts(texts: tuple[str, str, str]) -> None:
    row, is_new = ledger.mute(*texts)
    assert is_new
    assert ledger.mute(*texts) == (row, False)
    assert ledger.unmute(ledger.error_key(*texts)) == row


def test_key__of_other_texts_is_another() -> None:
    keys = {ledger.error_key(*texts) for texts in (("a", "b", ""), ("a", "", "b"), ("ab", "", ""))}
    assert len(keys) == 3
    assert {len(found) for found in keys} == {32}


def test_mute__of_several_people_at_once_is_done_once(committed_db: None) -> None:
    done: list[bool] = []
    gate = threading.Barrier(4)

    def mute() -> None:
        gate.wait()
        done.append(ledger.mute("A", "b", "c")[1])
        connections.close_all()

    together(mute)
    assert sorted(done) == [False, False, False, True]
    assert MutedError.objects.count() == 1


def test_unmute__of_several_people_at_once_is_done_once(committed_db: None) -> None:
    ledger.mute("A", "b", "c")
    done: list[bool] = []
    gate = threading.Barrier(4)

    def unmute() -> None:
        gate.wait()
        done.append(ledger.unmute(ledger.error_key("A", "b", "c")) is not None)
        connections.close_all()

    together(unmute)
    assert sorted(done) == [False, False, False, True]


def together(function: Any) -> None:
    """Call a function in four threads."""
    threads = [threading.Thread(target=function) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
