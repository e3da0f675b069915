"""What an editor has changed stands, whatever keeps a task from being recorded beside it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any

import pytest
from django.core import mail as django_mail
from django.core.mail import EmailMessage
from django.db import DatabaseError, Error, connection, connections, transaction
from django.db.models.signals import post_save
from django.test import Client
from django.urls import reverse
from wagtail.models import Page

from tests import obstacles
from tests.faults.publishing import published_page
from tests.limits import PATIENCE
from tests.oddities.models import Place
from tests.site.blog.models import Advert
from tests.site.editing import form_data
from tests.work import tasks, tasks_of_package
from wagtail_async_hooks import background, hooks, signals
from wagtail_async_hooks.integrations.mail import BackgroundEmailBackend
from wagtail_async_hooks.ledger import locks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue.submission import Submission

HOOK = "after_convert_alias_page"
BACKEND = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"
QUEUE = f"{BackgroundEmailBackend.__module__}.{BackgroundEmailBackend.__name__}"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"

TEXT = "x" * 20_000
"""For which there is no room in a file that is full."""

calls: list[Any] = []

pytestmark = pytest.mark.usefixtures("registries")

on_mysql = pytest.mark.skipif(connection.vendor != "mysql", reason="is MySQL's alone")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="is SQLite's alone")
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="is PostgreSQL's alone"
)


def remember(*args: Any, **kwargs: Any) -> None:
    """Note a call."""
    calls.append(args)


def fail_in_database(*args: Any, **kwargs: Any) -> None:
    """Note a call, and raise an error of the database."""
    calls.append(args)
    obstacles.run_sql("SELECT nothing FROM nowhere")


def pass_over_error(*args: Any, **kwargs: Any) -> None:
    """Note a call, and break the transaction without a word."""
    with suppress(DatabaseError):
        fail_in_database(*args)


def roll_back_all(*args: Any, **kwargs: Any) -> None:
    """Note a call, and end the caller's transaction, as no function should."""
    calls.append(args)
    obstacles.run_sql("ROLLBACK")


@pytest.fixture
def adverts(committed_db: None) -> Iterator[None]:
    """Forget earlier calls, and delete what the editor has written."""
    calls.clear()
    Advert.objects.all().delete()
    yield
    Advert.objects.all().delete()


@pytest.fixture
def on() -> Iterator[Callable[..., None]]:
    """Register functions to run in the background, until the test ends."""
    with ExitStack() as stack:

        def register(function: Any, **options: Any) -> None:
            stack.enter_context(
                hooks.register_temporarily(HOOK, function, background=True, **options)
            )

        yield register


@pytest.fixture
def site(adverts: None, settings: Any, on: Callable[..., None]) -> None:
    """A site on which all that can be recorded is, by all ways; something was recorded before."""
    settings.TASKS = {"default": {"BACKEND": BACKEND}}
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "EMAIL": {"BACKEND": LOCMEM}}
    if hasattr(django_mail, "mailers"):  # since Django 6.1
        settings.MAILERS = {
            "default": {"BACKEND": QUEUE, "OPTIONS": {"using": "sender"}},
            "sender": {"BACKEND": LOCMEM},
        }
    else:
        settings.EMAIL_BACKEND = QUEUE
    on(remember)
    with transaction.atomic():
        for way in WAYS.values():
            way()
    BackgroundTask.objects.all().delete()
    calls.clear()
    django_mail.outbox.clear()
    locks._held_up.clear()


@contextmanager
def lost() -> Iterator[None]:
    """A transaction which is lost, and of which somebody is told so."""
    with pytest.raises(Error), transaction.atomic():
        yield


def fire(*args: Any) -> None:
    """Call the functions of the hook as Wagtail does."""
    for function in hooks.get_hooks(HOOK):
        function(*args)


# The ways in which something is recorded, each of which returns what became of it.


def by_hook() -> str:
    """A hook."""
    fire(None, TEXT)
    return "ran" if calls == [(None, TEXT)] else "recorded"


def by_email() -> str:
    """An e-mail."""
    email = EmailMessage("Hello", TEXT, "a@example.com", ["b@example.com"])
    assert email.send() == 1
    return "ran" if django_mail.outbox else "recorded"


def by_tasks() -> str:
    """A task of ``TASKS``."""
    result = tasks_of_package.add.enqueue(TEXT, "y")
    return "ran" if result.status.name == "SUCCESSFUL" else "recorded"


def by_call() -> str:
    """A call of a task, whose error the caller logs."""
    try:
        tasks.add(TEXT, "y")
    except Exception:
        return "raised"
    return "recorded"


def by_calls() -> str:
    """Many calls at once."""
    try:
        background.enqueue_many([tasks.add.s(TEXT, str(n)) for n in range(3)])
    except Exception:
        return "raised"
    return "recorded"


WAYS: dict[str, Callable[[], str]] = {
    "hook": by_hook,
    "email": by_email,
    "TASKS": by_tasks,
    "call": by_call,
    "calls": by_calls,
}
OBSTACLES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "no table": obstacles.no_table,
    "newer column": obstacles.newer_column,
    "disk full": obstacles.disk_full,
    "refused": lambda: obstacles.refusing("no"),
}


@pytest.mark.parametrize("nested", [False, True], ids=["block", "nested blocks"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_record__the_change_stands(site: None, obstacle: str, way: str, nested: bool) -> None:
    if obstacle == "disk full" and connection.vendor == "sqlite":
        pytest.skip("SQLite may roll back all: see below")
    with OBSTACLES[obstacle](), transaction.atomic():
        Advert.objects.create(text="before")
        with transaction.atomic() if nested else nullcontext():
            became = WAYS[way]()
        Advert.objects.create(text="after")

    assert became == ("raised" if "call" in way else "ran")
    assert [advert.text for advert in Advert.objects.all()] == ["after", "before"]
    assert not BackgroundTask.objects.exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_record__without_a_transaction(site: None, obstacle: str, way: str) -> None:
    with OBSTACLES[obstacle]():
        assert WAYS[way]() == ("raised" if "call" in way else "ran")

    assert not BackgroundTask.objects.exists()


@pytest.mark.parametrize("way", WAYS)
def test_record__in_a_transaction_that_django_has_not_begun(site: None, way: str) -> None:
    with obstacles.refusing("no"):
        connection.set_autocommit(False)
        try:
            Advert.objects.create(text="before")
            became = WAYS[way]()
            Advert.objects.create(text="after")
            connection.commit()
        finally:
            connection.rollback()
            connection.set_autocommit(True)

    assert became == ("raised" if "call" in way else "ran")
    assert Advert.objects.count() == 2


@pytest.mark.parametrize("way", WAYS)
def test_record__in_a_transaction_that_django_has_not_begun_it_is_recorded(
    site: None, way: str, settings: Any, redis_options: dict[str, Any]
) -> None:
    settings.WAGTAIL_TASKS = {
        **settings.WAGTAIL_TASKS, "BACKEND": "redis", "BACKEND_OPTIONS": redis_options
    }  # fmt: skip
    connection.set_autocommit(False)
    try:
        assert WAYS[way]() == "recorded"
        connection.commit()
    finally:
        connection.rollback()
        connection.set_autocommit(True)

    assert BackgroundTask.objects.exists()


# Locks --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor == "sqlite", reason="its lock is that of all tables")
@pytest.mark.parametrize("inside", [True, False], ids=["transaction", "autocommit"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["ACCESS EXCLUSIVE", "SHARE"])
def test_record__a_lock_holds_an_editor_up_for_a_moment(
    site: None, mode: str, way: str, inside: bool
) -> None:
    with obstacles.locked(mode), transaction.atomic() if inside else nullcontext():
        Advert.objects.create(text="before")
        begun = time.monotonic()
        became = WAYS[way]()
        took = time.monotonic() - begun
        Advert.objects.create(text="after")

    assert became == ("raised" if "call" in way else "ran")
    assert took > 0.9  # and not for as long as the lock is held, which would be for ever
    assert Advert.objects.count() == 2
    assert not BackgroundTask.objects.exists()


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor == "sqlite", reason="its lock is that of all tables")
def test_record__who_records_much_waits_once(site: None) -> None:
    with obstacles.locked("SHARE"):
        with transaction.atomic():
            Advert.objects.create(text="before")
            begun = time.monotonic()
            for _ in range(10):
                fire(None, TEXT)
            assert 0.9 < time.monotonic() - begun < 9
        assert [advert.text for advert in Advert.objects.all()] == ["before"]
        assert len(calls) == 10

    assert by_tasks() == "recorded"
    assert BackgroundTask.objects.count() == 1


LIMITS = {
    "postgresql": ("SHOW lock_timeout", "SET lock_timeout = '{}'", "70ms", "2min"),
    "mysql": ("SELECT @@lock_wait_timeout", "SET SESSION lock_wait_timeout = {}", 1, 120),
}


@pytest.mark.skipif(connection.vendor == "sqlite", reason="its lock is that of all tables")
@pytest.mark.parametrize("inside", [True, False], ids=["transaction", "autocommit"])
@pytest.mark.parametrize("way", WAYS)
def test_record__the_limit_of_the_site_is_as_it_was(site: None, way: str, inside: bool) -> None:
    ask, say, _, long = LIMITS[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(say.format(long))
        with transaction.atomic() if inside else nullcontext():
            assert WAYS[way]() == "recorded"
            cursor.execute(ask)
            assert cursor.fetchone() == (long,)
            with obstacles.refusing("no") if connection.vendor == "postgresql" else nullcontext():
                WAYS[way]()
            cursor.execute(ask)
            assert cursor.fetchone() == (long,)
    connection.close()


@on_postgresql
def test_record__a_shorter_limit_of_the_site_counts(
    site: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, say, short, _ = LIMITS[connection.vendor]
    obstacles.run_sql(say.format(short))

    monkeypatch.setattr(locks, "LOCK_WAIT", 2 * PATIENCE)

    with obstacles.locked(), transaction.atomic():
        begun = time.monotonic()
        assert by_hook() == "ran"
        assert time.monotonic() - begun < PATIENCE
    connection.close()


# What takes the whole transaction with it ----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True], ids=["block", "nested blocks"])
@pytest.mark.parametrize("way", WAYS)
@on_mysql
def test_record__a_deadlock_is_raised(site: None, way: str, nested: bool) -> None:
    contested = Advert.objects.create(text="contested")
    changed = threading.Event()

    with deadlock(contested, changed), lost():
        with transaction.atomic() if nested else nullcontext():
            Advert.objects.filter(pk=contested.pk).update(text="by the editor")
            changed.set()
            assert WAYS[way]() == "raised"  # by what catches it; the block is marked all the same
        Advert.objects.create(text="second")

    assert not Advert.objects.filter(text__in=["by the editor", "second"]).exists()
    assert calls == []
    assert django_mail.outbox == []
    assert not BackgroundTask.objects.exists()


@contextmanager
def deadlock(contested: Advert, changed: threading.Event) -> Iterator[None]:
    """Another session holds what an INSERT needs, and wants what the editor has changed."""
    holding = threading.Event()

    def hold_and_want() -> None:
        # Else there are no locks of what is not there yet.
        obstacles.run_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with transaction.atomic():
            # It has done more than the editor, so that it is the other one that has to give way.
            Advert.objects.bulk_create([Advert(text=f"of the other {n}") for n in range(50)])
            list(BackgroundTask.objects.select_for_update().filter(pk__gt=0))
            holding.set()
            assert changed.wait(PATIENCE)
            Advert.objects.filter(pk=contested.pk).update(text="by the other")

    with obstacles.in_thread(hold_and_want):
        assert holding.wait(PATIENCE)
        yield


@on_sqlite
@pytest.mark.parametrize("way", WAYS)
def test_record__sqlite_that_rolls_back_all_is_told(site: None, way: str) -> None:
    obstacles.run_sql(
        f"CREATE TRIGGER refuse BEFORE INSERT ON {obstacles.TABLE} "
        "BEGIN SELECT RAISE(ROLLBACK, 'no space left'); END"
    )
    try:
        with lost():
            Advert.objects.create(text="before")
            assert WAYS[way]() == "raised"
            Advert.objects.create(text="after")
    finally:
        obstacles.run_sql("DROP TRIGGER refuse")

    assert not Advert.objects.exists()
    assert calls == []


@on_sqlite
@pytest.mark.parametrize("way", WAYS)
def test_record__sqlite_without_space_loses_nothing_silently(site: None, way: str) -> None:
    """Whichever of both SQLite chooses."""
    advert = Advert.objects.create(text="as it was")
    told = False
    with obstacles.disk_full():
        try:
            with transaction.atomic():
                Advert.objects.filter(pk=advert.pk).update(text="changed!!")
                became = WAYS[way]()
                told = became == "raised"
        except DatabaseError:
            told = True
        advert.refresh_from_db()

    assert told or (advert.text, became) == ("changed!!", "ran")
    assert not BackgroundTask.objects.exists()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has no server")
@pytest.mark.parametrize("way", WAYS)
def test_record__a_lost_connection_is_raised(site: None, way: str) -> None:
    with lost():
        Advert.objects.create(text="before")
        kill_connection()
        assert WAYS[way]() == "raised"
        Advert.objects.create(text="after")

    assert not Advert.objects.exists()
    assert calls == []
    assert django_mail.outbox == []


def kill_connection() -> None:
    """Have the server end this connection."""
    with connection.cursor() as cursor:
        own = "pg_backend_pid" if connection.vendor == "postgresql" else "connection_id"
        cursor.execute(f"SELECT {own}()")
        (number,) = cursor.fetchone()
    with obstacles.elsewhere() as run:
        if connection.vendor == "postgresql":
            run(f"SELECT pg_terminate_backend({number}, 5000)")
        else:
            run(f"KILL {number}")


@pytest.mark.parametrize("way", WAYS)
def test_record__in_a_transaction_that_is_broken_already(site: None, way: str) -> None:
    with lost():
        Advert.objects.create(text="before")
        transaction.set_rollback(True)
        assert WAYS[way]() == "raised"
        raise DatabaseError

    assert not Advert.objects.exists()
    assert calls == []
    assert not BackgroundTask.objects.exists()


@on_postgresql
@pytest.mark.parametrize("way", WAYS)
def test_record__in_a_transaction_that_django_does_not_know_to_be_broken(
    site: None, way: str
) -> None:
    with lost():
        Advert.objects.create(text="before")
        pass_over_error()
        calls.clear()
        assert WAYS[way]() == "raised"
        Advert.objects.create(text="after")

    assert not Advert.objects.exists()
    assert calls == []


# What runs in the request --------------------------------------------------------------------


@pytest.mark.parametrize("function", [fail_in_database, pass_over_error])
def test_run_here__a_function_that_breaks_the_transaction(
    site: None, on: Callable[..., None], function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    on(function)
    with obstacles.refusing("no"), transaction.atomic():
        Advert.objects.create(text="before")
        fire(None, "x")
        Advert.objects.create(text="after")

    assert calls == [(None, "x")] * 2
    assert Advert.objects.count() == 2


@pytest.mark.parametrize("function", [fail_in_database, pass_over_error])
def test_run_here__in_immediate_mode(
    adverts: None, immediate: None, on: Callable[..., None], function: Any
) -> None:
    on(function, retries=1 if function is fail_in_database else None)
    with transaction.atomic():
        Advert.objects.create(text="before")
        fire(None, "x")
        tasks.fail()
        Advert.objects.create(text="after")

    assert calls == [(None, "x")] * (2 if function is fail_in_database else 1)
    assert Advert.objects.count() == 2


@pytest.mark.parametrize("mode", ["immediate", "refused"])
def test_run_here__a_function_that_ends_the_transaction(
    site: None, on: Callable[..., None], mode: str, settings: Any
) -> None:
    if mode == "immediate":
        settings.WAGTAIL_TASKS = {"BACKEND": ""}
    on(roll_back_all)
    refused = obstacles.refusing("no") if mode == "refused" else nullcontext()
    with refused, lost():
        Advert.objects.create(text="before")
        fire(None, "x")
        raise AssertionError("nobody was told")
    connection.close()

    assert not Advert.objects.exists()


# Other people's functions on the way ---------------------------------------------------------


def test_record__a_key_that_breaks_the_transaction(adverts: None, on: Callable[..., None]) -> None:
    def key(*args: Any, **kwargs: Any) -> str:
        pass_over_error()
        return "a key"

    on(remember, coalesce=key)
    on(fail_in_database, exclusive=fail_in_database)
    with transaction.atomic():
        Advert.objects.create(text="before")
        fire("r", "x")
        Advert.objects.create(text="after")

    assert Advert.objects.count() == 2
    assert BackgroundTask.objects.count() == 2


@pytest.mark.parametrize("receive", [fail_in_database, pass_over_error])
def test_record__a_receiver_of_post_save_that_fails(
    site: None, receive: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def write_and_fail(**kwargs: Any) -> None:
        receive(**kwargs)

    post_save.connect(write_and_fail, sender=BackgroundTask)
    try:
        with transaction.atomic():
            Advert.objects.create(text="before")
            assert [way() for way in (by_email, by_tasks, by_call)] == ["recorded"] * 3
            Advert.objects.create(text="after")
    finally:
        post_save.disconnect(write_and_fail, sender=BackgroundTask)

    assert Advert.objects.count() == 2
    assert BackgroundTask.objects.count() == 3
    if receive is fail_in_database:
        assert "A receiver of Django's post_save failed" in caplog.text


@pytest.mark.parametrize("receive", [fail_in_database, pass_over_error])
def test_record__a_receiver_of_ours_that_fails(site: None, receive: Any) -> None:
    heard: list[Any] = []

    def listen(sender: str, **kwargs: Any) -> None:
        heard.append(sender)

    with (
        signals.enqueued.connected_to(receive),
        signals.enqueued.connected_to(listen),
        transaction.atomic(),
    ):
        Advert.objects.create(text="before")
        assert [way() for way in (by_email, by_tasks, by_call)] == ["recorded"] * 3
        Advert.objects.create(text="after")

    assert len(heard) == 3
    assert Advert.objects.count() == 2
    assert BackgroundTask.objects.count() == 3


def test_record__hooks_of_a_commit_go_with_what_was_undone(
    site: None, on: Callable[..., None]
) -> None:
    told: list[str] = []

    def key(*args: Any, **kwargs: Any) -> str:
        transaction.on_commit(lambda: told.append("undone"))
        raise ValueError

    on(remember, coalesce=key)
    with transaction.atomic():
        transaction.on_commit(lambda: told.append("before"))
        fire("r", "x")
        transaction.on_commit(lambda: told.append("after"))

    assert told == ["before", "after"]


# Cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["hook", "email", "TASKS", "call"])
@pytest.mark.parametrize("inside", [True, False], ids=["transaction", "autocommit"])
def test_record__costs_one_round_trip(
    site: None, way: str, inside: bool, django_assert_num_queries: Any
) -> None:
    with transaction.atomic() if inside else nullcontext(), django_assert_num_queries(1):
        assert WAYS[way]() == "recorded"


@on_postgresql
@pytest.mark.parametrize("way", WAYS)
def test_record__where_the_server_binds_values(site: None, way: str) -> None:
    made = connections["default"].settings_dict["OPTIONS"]
    made["server_side_binding"] = True
    connection.close()
    try:
        connection.force_debug_cursor = True
        with transaction.atomic():
            Advert.objects.create(text="before")
            assert WAYS[way]() == "recorded"
            with obstacles.refusing("no"):
                assert WAYS[way]() in ("ran", "raised")
            Advert.objects.create(text="after")
    finally:
        connection.force_debug_cursor = False
        del made["server_side_binding"]
        connection.close()

    assert Advert.objects.count() == 2
    assert BackgroundTask.objects.exists()


# What does not fit ---------------------------------------------------------------------------

AWKWARD = {
    "long": "k" * 320,
    "very long": "k" * 100_000,
    "NUL": "a\0b",
    "surrogate": "a\ud800b",
    "four bytes": "😀" * 200,
}


def as_page(key: str) -> Any:
    """Return an object whose primary key is a text."""
    place = Place(code=key)
    place._state.adding, place._state.db = False, "default"
    return place


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_record__whatever_the_texts_it_is_recorded(
    site: None, on: Callable[..., None], text: str, settings: Any
) -> None:
    on(fail_in_database, coalesce="{a}", exclusive="{a}", title="{a}")
    with transaction.atomic():
        Advert.objects.create(text="before")
        fire(as_page(text), text)
        task = tasks.show.task_class((text,), {}, priority=-(2**70))
        task.submission = Submission(
            name=text,
            function=text,
            hook=text,
            coalesce_key=text,
            exclusive_key=text,
        )
        background.enqueue(task)
        background.enqueue_many([task.__class__((text,), {}, priority=2**70)])
        Advert.objects.create(text="after")

    assert Advert.objects.count() == 2
    assert calls == []
    rows = BackgroundTask.objects.exclude(function__contains="demo")
    of_hook = rows.get(function__endswith=".remember")
    assert len(of_hook.subject_id) <= 255
    assert of_hook.subject_id.startswith(text[0])
    assert {row.priority for row in rows} == {0, 2**31 - 1, -(2**31)}
    for row in rows:
        assert max(map(len, (row.name, row.function, row.coalesce_key, row.title))) <= 255


def test_record__long_keys_that_differ_differ_still(site: None, on: Callable[..., None]) -> None:
    fire(as_page("k" * 320 + "1"), None)
    fire(as_page("k" * 320 + "2"), None)
    fire(as_page("k" * 320 + "2"), None)

    assert len(set(BackgroundTask.objects.values_list("subject_id", flat=True))) == 2


@pytest.mark.slow
@on_mysql
@pytest.mark.parametrize("way", WAYS)
def test_record__a_message_that_is_too_long_for_the_server(
    site: None, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the server would end the connection, and the transaction with it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        (limit,) = cursor.fetchone()
    monkeypatch.setattr(sys.modules[__name__], "TEXT", "x" * limit)
    with transaction.atomic():
        Advert.objects.create(text="before")
        became = WAYS[way]()
        Advert.objects.create(text="after")

    assert became == ("raised" if "call" in way else "ran")
    assert Advert.objects.count() == 2


# Real views ---------------------------------------------------------------------------------


@pytest.fixture
def post(site: None) -> Iterator[Any]:
    """A post of an editor's, who is logged in; hooks of views run in the background."""
    with published_page() as made, ExitStack() as stack:
        for hook in ("after_delete_page", "after_publish_page", "after_bulk_action"):
            stack.enter_context(hooks.register_temporarily(hook, remember, background=True))
        made.client = Client()
        made.client.force_login(made.user)
        made.publish_once()
        BackgroundTask.objects.all().delete()
        calls.clear()
        yield made


@pytest.mark.parametrize("atomic_requests", [False, True])
@pytest.mark.parametrize("obstacle", ["no table", "newer column", "refused", "locked"])
def test_views__an_editor_gets_what_the_view_says(
    post: Any, obstacle: str, atomic_requests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if obstacle == "locked" and connection.vendor == "sqlite":
        pytest.skip("its lock is that of all tables")
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic_requests)
    in_the_way = {**OBSTACLES, "locked": lambda: obstacles.locked("SHARE")}[obstacle]
    page, client = post.page, post.client
    edit = reverse("wagtailadmin_pages:edit", args=[page.pk])
    unpublish = reverse("wagtail_bulk_action", args=["wagtailcore", "page", "unpublish"])

    with in_the_way():
        changed = {"title": "Changed", "action-publish": "1"}
        assert client.post(edit, form_data(page, **changed)).status_code == 302
        page.refresh_from_db()
        assert (page.title, page.live) == ("Changed", True)
        assert client.post(f"{unpublish}?id={page.pk}&next=/admin/").status_code == 302
        page.refresh_from_db()
        assert not page.live
        delete = reverse("wagtailadmin_pages:delete", args=[page.pk])
        assert client.post(delete).status_code == 302
        assert not Page.objects.filter(pk=page.pk).exists()

    assert len(calls) == 3
    assert not BackgroundTask.objects.filter(function__endswith="remember").exists()
