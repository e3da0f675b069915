"""How the database tells that a task may be waiting, in each of its ways."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.storage import looks

pytestmark = pytest.mark.slow

LONG = 30.0
"""Seconds that no wait in these tests should last."""


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's own way")
class TestPostgres:
    def test_listens(self, committed_db: None) -> None:
        assert isinstance(looks.look_at("default"), looks.PostgresLook)

    def test_a_pooled_connection_is_polled(
        self, committed_db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
        assert isinstance(looks.look_at("default"), looks.PollingLook)

    def test_notifications_that_do_not_arrive_lead_to_polling(
        self, committed_db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As behind a proxy that hands each statement to another connection."""

        def unlisten(look: Any) -> bool:
            with connection.cursor() as cursor:
                cursor.execute(f"UNLISTEN {looks.CHANNEL}")
            return False

        monkeypatch.setattr(looks.PostgresLook, "__call__", unlisten)
        monkeypatch.setattr(looks, "PROBE_TIMEOUT", 0.1)
        assert isinstance(looks.look_at("default"), looks.PollingLook)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL notifies")
def test_notify__comes_once_for_many_tasks(committed_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {looks.CHANNEL}")
        background.enqueue_many(tasks.add.s(n, n) for n in range(500))
        cursor.execute(f"NOTIFY {looks.CHANNEL}, 'the end'")
    assert connection.connection is not None
    heard = []
    for told in connection.connection.notifies(timeout=LONG):
        if told.payload == "the end":
            break
        heard.append(told.payload)
    assert heard == [""]
