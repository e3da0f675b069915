"""How the database tells that a task may be waiting, in each of its ways."""

from __future__ import annotations

import errno
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.ledger import looking as looks
from wagtail_async_hooks.ledger.locks import kind_of
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.storage.watchers import postgresql, sqlite, watcher_for
from wagtail_async_hooks.storage.watchers.base import LISTEN_INTERVAL, Watcher
from wagtail_async_hooks.storage.watchers.mariadb import LOOK_INTERVAL, MariaDBWatcher
from wagtail_async_hooks.storage.watchers.polling import POLL_INTERVAL, PollingWatcher

if sys.platform == "linux":
    import inotify_simple

pytestmark = pytest.mark.slow

LONG = 30.0
"""Seconds that no wait in these tests should last."""


ALIAS: Final = "a_file"

Opened = Callable[[], sqlite3.Connection]


@pytest.fixture
def opened(tmp_path: Path, django_db_blocker: Any) -> Iterator[Opened]:
    """What opens one more connection to an SQLite database, which Django knows as :data:`ALIAS`."""
    file = tmp_path / "site.sqlite3"
    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "OPTIONS": {}}
    connections.settings[ALIAS] = {**connections["default"].settings_dict, **engine}
    others: list[sqlite3.Connection] = []

    def open_one() -> sqlite3.Connection:
        others.append(sqlite3.connect(file, isolation_level=None, check_same_thread=False))
        return others[-1]

    with closing(sqlite3.connect(file)) as first:
        first.executescript("PRAGMA journal_mode = WAL; CREATE TABLE told (what TEXT)")
    with django_db_blocker.unblock():
        yield open_one
    for other in others:
        other.close()
    connections[ALIAS].close()
    del connections[ALIAS], connections.settings[ALIAS]


@pytest.fixture
def watcher(opened: Opened) -> Iterator[Watcher]:
    """A watcher that has nothing more to tell."""
    found = watcher_for(ALIAS)
    assert found.has_news()  # what came before was not heard
    with closing(found):
        yield found


def statements(watcher: Watcher, times: int) -> list[str]:
    """Return what some checks ask the database, none of which finds anything."""
    asked: list[str] = []
    connections[ALIAS].connection.set_trace_callback(asked.append)
    assert not any(watcher.has_news() for _ in range(times))
    connections[ALIAS].connection.set_trace_callback(None)
    return asked


def write(other: sqlite3.Connection) -> None:
    """Commit a change."""
    other.execute("INSERT INTO told VALUES ('something')")


def write_much(other: sqlite3.Connection) -> None:
    """Change more than fits into memory, so that SQLite writes before anything is committed."""
    other.execute("PRAGMA cache_size = 1")
    other.execute("BEGIN")
    other.executemany("INSERT INTO told VALUES (?)", [("x" * 3000,)] * 100)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
class TestSQLiteOnLinux:
    def test_a_commit_is_told(self, watcher: Watcher, opened: Opened) -> None:
        assert isinstance(watcher, sqlite.InotifyWatcher)
        for _ in range(3):
            write(opened())
            assert watcher.has_news()
            assert not watcher.has_news()

    def test_a_commit_is_told_while_the_watcher_waits(
        self, watcher: Watcher, opened: Opened
    ) -> None:
        timer = threading.Timer(LISTEN_INTERVAL / 5, write, [opened()])
        timer.start()
        assert watcher.has_news()
        timer.join()

    def test_an_idle_watcher_asks_once(self, watcher: Watcher) -> None:
        assert statements(watcher, times=3) == ["PRAGMA data_version"] * 3

    def test_what_is_written_is_told_when_it_is_committed(
        self, watcher: Watcher, opened: Opened
    ) -> None:
        other = opened()
        write_much(other)
        assert not watcher.has_news()
        assert not watcher.has_news()
        other.execute("COMMIT")
        assert watcher.has_news()

    def test_what_is_rolled_back_is_not_told(self, watcher: Watcher, opened: Opened) -> None:
        other = opened()
        write_much(other)
        other.execute("ROLLBACK")
        assert not watcher.has_news()
        write(other)
        assert watcher.has_news()

    @pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
    def test_each_way_to_write_is_told(self, opened: Opened, mode: str) -> None:
        other = opened()
        assert other.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode.lower(),)
        with closing(watcher_for(ALIAS)) as watcher:
            assert watcher.has_news()
            for _ in range(3):
                write(other)
                assert watcher.has_news()
                assert len(statements(watcher, times=2)) == 2

    def test_another_way_to_write_is_learned(self, opened: Opened) -> None:
        other = opened()
        other.execute("PRAGMA journal_mode = DELETE")
        with closing(watcher_for(ALIAS)) as watcher:
            assert watcher.has_news()
            other.execute("PRAGMA journal_mode = WAL")
            for _ in range(3):
                write(other)
                assert watcher.has_news()
            assert len(statements(watcher, times=2)) == 2

    def test_a_kernel_that_does_not_tell_is_not_relied_on(
        self,
        watcher: Watcher,
        opened: Opened,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """As with a file that lies on another machine."""
        caplog.set_level(logging.INFO)
        monkeypatch.setattr(inotify_simple.INotify, "read", lambda *args, **kwargs: iter(()))
        other = opened()
        for _ in range(3):
            write(other)
            assert watcher.has_news()
        assert len(statements(watcher, times=1)) == sqlite.SQLITE_CHECKS
        [told] = [record.getMessage() for record in caplog.records]
        assert told.startswith("The kernel does not tell when ")
        assert told.endswith(" is written to, looking at it instead: something has changed")

    def test_a_commit_that_takes_long_is_no_sign_of_that(
        self, watcher: Watcher, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on a slow disk: it was told of, and cannot be read before the watcher has given up."""
        told = iter([["something"]])
        monkeypatch.setattr(inotify_simple.INotify, "read", lambda *_, **__: next(told, []))
        monkeypatch.setattr(sqlite, "COMMIT_TIMEOUT", 0.0)
        assert not watcher.has_news()
        write(opened())
        assert watcher.has_news()
        assert len(statements(watcher, times=1)) == 1

    def test_what_was_written_before_the_file_was_watched_is_no_sign_of_that(
        self, watcher: Watcher, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have been committed right after that."""
        monkeypatch.setattr(inotify_simple.INotify, "read", lambda *_, **__: [])
        write(opened())
        assert watcher.has_news()
        assert len(statements(watcher, times=1)) == 1

    def test_two_commits_of_which_was_told_at_once_are_no_sign_of_that(
        self, watcher: Watcher, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When it was told of the second one, only the first one could be read."""
        told = iter([["both"]])
        monkeypatch.setattr(inotify_simple.INotify, "read", lambda *_, **__: next(told, []))
        other = opened()
        write(other)
        assert watcher.has_news()
        write(other)
        assert watcher.has_news()
        assert len(statements(watcher, times=1)) == 1

    def test_without_inotify_it_is_looked_at(
        self,
        opened: Opened,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def none_left(self: Any) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        caplog.set_level(logging.INFO)
        monkeypatch.setattr(inotify_simple.INotify, "__init__", none_left)
        assert type(watcher_for(ALIAS)) is sqlite.SQLiteWatcher
        assert "Too many open files" in caplog.text

    def test_without_another_watch_it_is_looked_at(
        self, opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def none_left(*args: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        caplog.set_level(logging.INFO)
        monkeypatch.setattr(inotify_simple.INotify, "add_watch", none_left)
        with closing(watcher_for(ALIAS)) as watcher:
            assert watcher.has_news()
            watcher.has_news()
            write(opened())
            assert watcher.has_news()
            assert len(statements(watcher, times=1)) == sqlite.SQLITE_CHECKS
        assert caplog.text.count("No space left on device") == 1

    def test_without_the_library_it_is_looked_at(
        self, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "inotify_simple", None)
        watcher = watcher_for(ALIAS)
        assert type(watcher) is sqlite.SQLiteWatcher
        watcher.has_news()
        write(opened())
        assert watcher.has_news()

    def test_what_is_in_memory_is_looked_at(
        self, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connections[ALIAS].settings_dict, "NAME", ":memory:")
        assert type(watcher_for(ALIAS)) is sqlite.SQLiteWatcher

    def test_close_lets_go_of_the_kernel(self, opened: Opened) -> None:
        watcher = watcher_for(ALIAS)
        assert isinstance(watcher, sqlite.InotifyWatcher)
        watcher.close()
        assert watcher._kernel.closed


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's own way")
class TestPostgres:
    def test_listens(self, committed_db: None) -> None:
        assert isinstance(watcher_for("default"), postgresql.PostgreSQLWatcher)

    def test_a_pooled_connection_is_polled(
        self, committed_db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
        assert isinstance(watcher_for("default"), PollingWatcher)

    def test_notifications_that_do_not_arrive_lead_to_polling(
        self, committed_db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As behind a proxy that hands each statement to another connection."""

        def unlisten(watcher: Any) -> bool:
            with connection.cursor() as cursor:
                cursor.execute(f"UNLISTEN {postgresql.CHANNEL}")
            return False

        monkeypatch.setattr(postgresql.PostgreSQLWatcher, "has_news", unlisten)
        monkeypatch.setattr(postgresql, "PROBE_TIMEOUT", 0.1)
        assert isinstance(watcher_for("default"), PollingWatcher)


def meanwhile(action: Callable[[], Any]) -> threading.Thread:
    """Do something in a thread, over a connection of its own, while a watcher waits."""

    def act() -> None:
        time.sleep(LISTEN_INTERVAL / 5)
        try:
            action()
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def run_sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def add_impatiently() -> None:
    """Record a task, but wait for no lock."""
    run_sql("SET SESSION innodb_lock_wait_timeout = 1")
    tasks.add(1, 2)


@pytest.mark.skipif(connection.vendor != "mysql", reason="MariaDB's own way")
class TestMariaDB:
    @pytest.fixture(autouse=True)
    def _on_mariadb(self, committed_db: None) -> None:
        if kind_of(connection) != "mariadb":
            pytest.skip("MySQL is polled")

    @pytest.fixture
    def looking(self) -> MariaDBWatcher:
        watcher = watcher_for("default")
        assert isinstance(watcher, MariaDBWatcher)
        return watcher

    def test_an_idle_watcher_sends_one_statement(self, looking: MariaDBWatcher) -> None:
        looking.has_news()
        with CaptureQueriesContext(connection) as asked:
            assert not looking.has_news()
        assert len(asked) == 1

    def test_a_commit_is_told_while_the_watcher_waits(self, looking: MariaDBWatcher) -> None:
        assert not looking.has_news()
        thread = meanwhile(lambda: tasks.add(1, 2))
        found = looking._look(looks=round(LONG / LOOK_INTERVAL))
        thread.join()
        assert found
        assert looking.has_news()
        BackgroundTask.objects.all().delete()
        assert not looking.has_news()

    def test_what_is_written_is_told_when_it_is_committed(self, looking: MariaDBWatcher) -> None:
        written, leave = threading.Event(), threading.Event()

        def write_slowly() -> None:
            with transaction.atomic():
                tasks.add(1, 2)
                written.set()
                leave.wait(LONG)

        thread = meanwhile(write_slowly)
        assert written.wait(LONG)
        assert not looking.has_news()
        leave.set()
        thread.join()
        assert looking.has_news()

    def test_what_is_for_others_is_looked_at_as_often_as_by_polling(
        self, looking: MariaDBWatcher
    ) -> None:
        tasks.add(1, 2)
        for _ in range(5):
            assert looking.has_news()
        assert looking._pause == POLL_INTERVAL
        BackgroundTask.objects.all().delete()
        assert not looking.has_news()
        assert looking._pause == 0

    @pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
    def test_nobody_waits_for_it(self, isolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", isolation)
        connection.close()
        watcher = watcher_for("default")
        assert isinstance(watcher, MariaDBWatcher)
        watcher.has_news()
        seen: list[str] = []
        thread = meanwhile(lambda: (add_impatiently(), seen.append("added")))
        assert watcher._look(looks=round(LONG / LOOK_INTERVAL))
        thread.join()
        assert seen == ["added"]
        monkeypatch.undo()
        connection.close()

    def test_the_table_can_be_altered_while_it_waits(self, looking: MariaDBWatcher) -> None:
        table, done = BackgroundTask._meta.db_table, threading.Event()

        def alter() -> None:
            run_sql(f"SET lock_wait_timeout = {LONG:.0f}", f"ALTER TABLE {table} COMMENT = ''")
            done.set()

        thread = meanwhile(alter)
        deadline = time.monotonic() + LONG
        while not done.is_set() and time.monotonic() < deadline:
            looking.has_news()
        thread.join()
        assert done.is_set()

    def test_a_limit_of_statements_does_not_end_it(self, looking: MariaDBWatcher) -> None:
        run_sql(f"SET SESSION max_statement_time = {LISTEN_INTERVAL / 5}")
        assert not looking.has_news()
        connection.close()

    def test_a_new_connection_is_prepared_anew(self, looking: MariaDBWatcher) -> None:
        assert not looking.has_news()
        connection.close()
        assert not looking.has_news()
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@tx_isolation")
            assert cursor.fetchone() == ("READ-COMMITTED",)

    def test_a_server_that_refuses_is_polled(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        monkeypatch.setattr(looks, "_LOOKS", "SELECT no_such_thing(%s, %s)")
        assert isinstance(watcher_for("default"), PollingWatcher)
        assert "polling 'default' instead" in caplog.text

    def test_one_without_commits_of_its_own_is_polled(self) -> None:
        """Its locks would stay."""
        connection.ensure_connection()
        connection.set_autocommit(False)
        try:
            assert isinstance(watcher_for("default"), PollingWatcher)
        finally:
            connection.rollback()
            connection.set_autocommit(True)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL notifies")
def test_notify__comes_once_for_many_tasks(committed_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {postgresql.CHANNEL}")
        background.enqueue_many(tasks.add.s(n, n) for n in range(500))
        cursor.execute(f"NOTIFY {postgresql.CHANNEL}, 'the end'")
    assert connection.connection is not None
    heard = []
    for told in connection.connection.notifies(timeout=LONG):
        if told.payload == "the end":
            break
        heard.append(told.payload)
    assert heard == [""]
