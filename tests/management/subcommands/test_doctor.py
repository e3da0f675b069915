"""``wagtail_tasks doctor`` against set-ups that are broken, each in one way, and a healthy one."""

from __future__ import annotations

import datetime
import io
import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from django.core.checks import Warning as CheckWarning
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from redis import ConnectionPool

from tests import obstacles
from tests.admin.making import make_task
from tests.faults.conftest import running
from tests.faults.servers import BinariesAbsent, PgBouncer, Redis, find_binary
from tests.management.conftest import Ask, Complaint
from tests.processes import Process, wait_until
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.hooks import registry
from wagtail_async_hooks.management.subcommands import doctor as doctor_command
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.monitoring.doctor import examination
from wagtail_async_hooks.monitoring.doctor import site as doctor_site
from wagtail_async_hooks.monitoring.doctor.finding import Code
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.worker import identity

OURS: Final = {"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}

Complain = Callable[..., Complaint]


@pytest.fixture(autouse=True)
def site(settings: Any, sources_read_once: None) -> Any:
    """A site with which nothing is wrong, but that it has no worker."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    settings.TASKS = OURS
    return settings


@pytest.fixture
def worker(db: None) -> Worker:
    """A worker that lives."""
    return identity.register(2, "", 0)


def ago(**duration: float) -> datetime.datetime:
    """Return a time some minutes or so ago."""
    return timezone.now() - datetime.timedelta(**duration)


def waiting(minutes: float = 30, **columns: Any) -> BackgroundTask:
    """Make a task that has waited for some time."""
    return make_task(**{"enqueued_at": ago(minutes=minutes), "state": State.WAITING, **columns})


def finding(complaint: Complaint, code: Code) -> dict[str, str]:
    """Return the one finding with a code of an answer in JSON."""
    [found] = [each for each in complaint.json["findings"] if each["code"] == code]
    return found


def told(complaint: Complaint, code: Code, severity: str = "warning") -> tuple[str, str]:
    """Return what is told, and what to type, of the only thing that is wrong."""
    assert [each["code"] for each in complaint.json["findings"]] == [code]
    found = finding(complaint, code)
    assert found["severity"] == severity
    assert (
        complaint.exit_code
        == complaint.json["exit_code"]
        == {"warning": 1, "critical": 2}[severity]
    )
    return found["text"], found["remedy"]


# The healthy one ----------------------------------------------------------------------------


def test_doctor__is_silent_where_nothing_is_wrong(worker: Worker, ask: Ask, ask_json: Ask) -> None:
    make_task()
    make_task(state=State.SCHEDULED, run_at=timezone.now() + datetime.timedelta(days=30))
    make_task(state=State.FAILED, finished_at=timezone.now())
    assert ask("doctor") == []
    assert ask_json("doctor") == {"exit_code": 0, "findings": []}


@pytest.mark.slow
def test_doctor__is_silent_beside_a_real_worker(start: Callable[..., Process]) -> None:
    environment = {"TEST_TASKS": json.dumps(OURS)}
    start("wagtail_worker", **environment)
    wait_until(ledger.is_served, "a worker lives")
    process = start("wagtail_tasks", "doctor", **environment)
    assert process.wait() == 0, process.said()
    assert process.said() == ""


def test_doctor__for_people(db: None, complaint: Complain) -> None:
    pausing.pause(queue="slow", reason="it moves\x1b[2J")
    said = complaint("doctor")
    assert said.lines[0] == "critical: no-worker"
    assert said.lines[2].startswith("  → manage.py wagtail_worker")
    assert said.lines[3] == "warning: paused"
    assert "\x1b" not in "".join(said.lines)
    assert (said.error, said.exit_code) == ("1 critical problem, 1 warning.", 2)


def test_doctor__ignores_what_it_is_told_to(db: None, complaint: Complain, ask: Ask) -> None:
    pausing.pause(queue="slow")
    said = complaint("doctor", "--json", "--ignore=no-worker")
    told(said, Code.PAUSED)
    assert ask("doctor", "--ignore=no-worker", "--ignore", "paused") == []
    with pytest.raises(CommandError, match="invalid choice: 'no-wroker'"):
        call_command("wagtail_tasks", "doctor", "--ignore=no-wroker")


def test_doctor__goes_on_where_something_cannot_be_examined(
    worker: Worker, complaint: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Iterator[Any]:
        raise RuntimeError("no luck at https://me:geheim@example.com/")

    monkeypatch.setattr(doctor_site, "tasks_elsewhere", broken)
    pausing.pause(queue="slow")
    found = complaint("doctor", "--json").json["findings"]
    assert [each["code"] for each in found] == [Code.NOT_EXAMINED, Code.PAUSED]
    assert "RuntimeError: no luck at https://…@example.com/" in found[0]["text"]


def test_doctor__says_what_it_waits_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()

    def waits() -> list[Any]:
        wait_until(lambda: "TASKS" in stderr.getvalue(), "it says what it waits for")
        return []

    monkeypatch.setattr(doctor_command, "PATIENCE", 0.01)
    monkeypatch.setattr(doctor_site, "tasks_elsewhere", waits)
    call_command("wagtail_tasks", "doctor", stderr=stderr)
    assert "TASKS could not be examined to the end; press Ctrl-C" in stderr.getvalue()


# The site -----------------------------------------------------------------------------------


def test_settings__mistakes(site: Any, db: None, complaint: Complain) -> None:
    site.WAGTAIL_TASKS = {"BACKEND": "database", "BACKND": 1}
    text, remedy = told(complaint("doctor", "--json"), Code.SETTINGS, "critical")
    assert 'WAGTAIL_TASKS has an unknown key "BACKND"; did you mean "BACKEND"?' in text
    assert "manage.py check" in remedy


def test_hooks__that_cannot_be_imported(
    db: None, complaint: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ImportError("no module named pillow")

    monkeypatch.setattr("wagtail_async_hooks.hooks.discovery.search_for_hooks", broken)
    text, _ = told(complaint("doctor", "--json"), Code.HOOKS, "critical")
    assert "The hooks of the site cannot be imported: ImportError: no module named pillow" in text


def test_checks__that_warn(site: Any, worker: Worker, complaint: Complain, ask: Ask) -> None:
    site.WAGTAIL_TASKS = {"BACKEND": "database", "HOOKS": {"after_publsh_page": {"priority": 1}}}
    text, remedy = told(complaint("doctor", "--json"), Code.CHECK)
    assert '"after_publsh_page"' in text
    assert text.endswith("(W004)")
    assert remedy == 'Did you mean "after_publish_page"?'

    site.SILENCED_SYSTEM_CHECKS = ["wagtail_async_hooks.W004"]
    assert ask("doctor") == []


def test_checks__only_ours(worker: Worker, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**kwargs: Any) -> list[CheckWarning]:
        raise AssertionError("a check of others was run")

    from django.core.checks import registry as checks_registry

    monkeypatch.setattr(broken, "tags", ("security",), raising=False)
    monkeypatch.setattr(
        checks_registry.registry,
        "registered_checks",
        {*checks_registry.registry.registered_checks, broken},
    )
    assert ask("doctor") == []


def test_backend__blank_while_hooks_ask_for_the_background(
    immediate: None, db: None, complaint: Complain
) -> None:
    text, remedy = told(complaint("doctor", "--json"), Code.BLANK_BACKEND)
    assert "is blank, so functions with background=True run in the request" in text
    assert "tests.site.blog.wagtail_hooks.announce_page" in text
    assert remedy == (
        'Set WAGTAIL_TASKS["BACKEND"] to "database", and start "manage.py wagtail_worker".'
    )


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("django_tasks.backends.immediate.ImmediateBackend", "is done in the editor's request"),
        ("django_tasks.backends.dummy.DummyBackend", "is never done"),
        ("", "is done in the editor's request"),
    ],
)
def test_tasks__do_not_lead_here(
    site: Any, worker: Worker, complaint: Complain, given: str, what: str
) -> None:
    site.TASKS = {"default": {"BACKEND": given}} if given else {}
    text, remedy = told(complaint("doctor", "--json"), Code.TASKS_ELSEWHERE)
    assert text.startswith(f"TASKS leads to {given}" if given else "TASKS is not set")
    assert what in text
    assert "WagtailTasksBackend" in remedy


def test_tasks__lead_to_somebody_elses_workers(site: Any, worker: Worker, ask_json: Ask) -> None:
    site.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    [found] = ask_json("doctor")["findings"]
    assert (found["severity"], found["code"]) == ("note", Code.TASKS_ELSEWHERE)


# The database -------------------------------------------------------------------------------


@pytest.mark.slow
def test_database__that_does_not_answer(start: Callable[..., Process]) -> None:
    if connection.vendor == "sqlite":
        broken = {"SITE_DATABASE_NAME": "/nowhere/at/all.sqlite3"}
    else:
        broken = {"SITE_DATABASE_PORT": "1"}
    process = start("wagtail_tasks", "doctor", TEST_TASKS=json.dumps(OURS), **broken)
    assert process.wait() == 2, process.said()
    lines = process.said().splitlines()
    assert "critical: database" in lines
    assert any("The database 'default' does not answer" in line for line in lines)
    assert any("  → Start it, or correct DATABASES" in line for line in lines)
    assert "Traceback" not in process.said()


@pytest.mark.slow
def test_database__without_any_table(start: Callable[..., Process], tmp_path: Path) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("SQLite makes an empty database by itself")
    empty = {"SITE_DATABASE_NAME": str(tmp_path / "empty.sqlite3")}
    process = start("wagtail_tasks", "doctor", TEST_TASKS=json.dumps(OURS), **empty)
    assert process.wait() == 2, process.said()
    assert "critical: migrations" in process.said()
    assert "  → manage.py migrate wagtail_async_hooks\n" in process.said()


def test_migrations__missing(worker: Worker, complaint: Complain) -> None:
    MigrationRecorder(connection).record_unapplied("wagtail_async_hooks", "0003_blocked")
    text, remedy = told(complaint("doctor", "--json"), Code.MIGRATIONS, "critical")
    assert (
        "lacks 1 of the migrations of wagtail_async_hooks (0003_blocked): no worker starts" in text
    )
    assert remedy == "manage.py migrate wagtail_async_hooks"


def test_migrations__of_a_newer_release(worker: Worker, complaint: Complain) -> None:
    MigrationRecorder(connection).record_applied("wagtail_async_hooks", "0999_newer")
    text, _ = told(complaint("doctor", "--json"), Code.MIGRATIONS)
    assert "(0999_newer): a newer one has migrated it" in text


def test_tables__missing_although_they_are_recorded(no_table: None, complaint: Complain) -> None:
    text, remedy = told(complaint("doctor", "--json"), Code.TABLES, "critical")
    assert obstacles.TABLE in text
    assert "recorded there as applied" in text
    assert '"manage.py migrate wagtail_async_hooks zero --fake"' in remedy


def test_tables__lack_a_column(committed_db: None, complaint: Complain) -> None:
    with obstacles.missing_column():
        text, _ = told(complaint("doctor", "--json"), Code.TABLES, "critical")
    assert obstacles.TABLE in text


@pytest.mark.skipif(connection.vendor != "sqlite", reason="it is about SQLite")
def test_sqlite__without_wal_and_immediate(
    elsewhere: None, tmp_path: Path, complaint: Complain
) -> None:
    file = tmp_path / "copy.sqlite3"
    obstacles.run_sql(f"VACUUM INTO '{file}'")
    given = connections.settings["elsewhere"]
    connections.settings["elsewhere"] = {**given, "NAME": str(file), "OPTIONS": {"timeout": 5}}

    found = finding(complaint("doctor", "--json"), Code.SQLITE)

    assert (
        "The SQLite database 'elsewhere' is not set up for a worker beside the site"
        in found["text"]
    )
    assert "lacks transaction_mode IMMEDIATE and journal_mode=WAL" in found["text"]
    assert 'DATABASES["elsewhere"]: "OPTIONS": {"transaction_mode": "IMMEDIATE"' in found["remedy"]


def pgbouncer() -> None:
    """Skip a test where PgBouncer is not installed, or the database is another one."""
    if connection.vendor != "postgresql":
        pytest.skip("PgBouncer is for PostgreSQL")
    try:
        find_binary("pgbouncer")
    except BinariesAbsent as error:
        pytest.skip(str(error))


def pooled(pool: PgBouncer) -> dict[str, Any]:
    """Have the ledger reached through a pooler; return its entry of ``DATABASES``."""
    given = {**connections.settings["elsewhere"], "HOST": "127.0.0.1", "PORT": str(pool.port)}
    connections.settings["elsewhere"] = given
    return given


def through_a_pooler(complaint: Complaint) -> list[tuple[str, str]]:
    """Return what is told of the pooler."""
    found = complaint.json["findings"]
    return [(each["text"], each["remedy"]) for each in found if each["code"] == Code.POOLER]


@pytest.mark.slow
def test_pgbouncer__in_transaction_mode(elsewhere: None, complaint: Complain) -> None:
    pgbouncer()
    with PgBouncer("transaction", connection.settings_dict) as pool:
        given = pooled(pool)
        try:
            cursors, polling = through_a_pooler(complaint("doctor", "--json"))
            connections["elsewhere"].close()
            given["DISABLE_SERVER_SIDE_CURSORS"] = True
            [still] = through_a_pooler(complaint("doctor", "--json"))
        finally:
            connections["elsewhere"].close()
    assert "server-side cursors break there" in cursors[0]
    assert cursors[1] == 'Set DATABASES["elsewhere"]["DISABLE_SERVER_SIDE_CURSORS"] = True'
    assert polling == still
    assert "asks for tasks 20 times a second" in polling[0]
    assert 'WAGTAIL_TASKS["BACKEND"] = "redis"' in polling[1]


@pytest.mark.slow
def test_pgbouncer__in_session_mode(elsewhere: None, complaint: Complain) -> None:
    pgbouncer()
    with PgBouncer("session", connection.settings_dict) as pool:
        pooled(pool)
        try:
            assert through_a_pooler(complaint("doctor", "--json")) == []
        finally:
            connections["elsewhere"].close()


# Redis --------------------------------------------------------------------------------------


def test_redis__that_answers(
    site: Any, worker: Worker, redis_options: dict[str, Any], ask: Ask
) -> None:
    site.WAGTAIL_TASKS = {"BACKEND": "redis", "BACKEND_OPTIONS": redis_options}
    assert ask("doctor") == []


def test_redis__that_cannot_be_reached(site: Any, worker: Worker, complaint: Complain) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"redis://me:geheim@127.0.0.1:{taken.getsockname()[1]}/0"
        site.WAGTAIL_TASKS = {"BACKEND": "redis", "BACKEND_OPTIONS": {"url": url}}
        said = complaint("doctor", "--json")
    text, remedy = told(said, Code.NOTIFIER)
    assert "WAGTAIL_TASKS[\"BACKEND\"] is 'redis', which does not answer" in text
    assert remedy == 'Start it, or correct WAGTAIL_TASKS["BACKEND_OPTIONS"].'
    assert "geheim" not in "".join(said.lines)


@pytest.mark.slow
def test_redis__that_evicts(site: Any, worker: Worker, complaint: Complain) -> None:
    with running(Redis(maxmemory="50mb", maxmemory_policy="allkeys-lru")) as server:
        site.WAGTAIL_TASKS = {"BACKEND": "redis", "BACKEND_OPTIONS": server.backend_options()}
        text, remedy = told(complaint("doctor", "--json"), Code.EVICTION)
        assert "Redis evicts keys when it is full (maxmemory-policy allkeys-lru)" in text
        assert remedy.startswith("redis-cli CONFIG SET maxmemory-policy noeviction")

        with server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
        text, _ = told(complaint("doctor", "--json"), Code.EVICTION)
        assert "Redis is full" in text


def test_redis__that_decodes_responses(
    site: Any, worker: Worker, redis_options: dict[str, Any], complaint: Complain
) -> None:
    pool = ConnectionPool.from_url(redis_options["url"], decode_responses=True)
    site.WAGTAIL_TASKS = {"BACKEND": "redis", "BACKEND_OPTIONS": {"connection_pool": pool}}
    text, remedy = told(complaint("doctor", "--json"), Code.DECODING, "critical")
    assert "decode_responses=True" in text
    assert "decode_responses" in remedy

    site.WAGTAIL_TASKS = {
        "BACKEND": "huey.storage.RedisStorage",
        "BACKEND_OPTIONS": {"connection_pool": pool},
    }
    text, remedy = told(complaint("doctor", "--json"), Code.DECODING, "critical")
    assert remedy == 'Remove decode_responses from WAGTAIL_TASKS["BACKEND_OPTIONS"].'
    pool.disconnect()


def test_backend__that_does_not_exist(site: Any, worker: Worker, complaint: Complain) -> None:
    site.WAGTAIL_TASKS = {"BACKEND": "nowhere.Storage"}
    text, _ = told(complaint("doctor", "--json"), Code.NOTIFIER, "critical")
    assert "which cannot be imported (No module named 'nowhere')" in text


# Workers ------------------------------------------------------------------------------------


def test_worker__none_alive(db: None, complaint: Complain) -> None:
    text, remedy = told(complaint("doctor", "--json"), Code.NO_WORKER, "critical")
    assert text == "No worker is alive; none has ever been started, or it was long ago."
    assert remedy.startswith("manage.py wagtail_worker")

    waiting(function="wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task")
    text, _ = told(complaint("doctor", "--json"), Code.NO_WORKER, "critical")
    assert "1 cache purge is waiting because no worker runs: visitors may see old pages." in text


def test_worker__none_alive_that_is_embedded(site: Any, db: None, complaint: Complain) -> None:
    site.WAGTAIL_TASKS = {"BACKEND": "database", "WORKER": {"embedded": True}}
    _, remedy = told(complaint("doctor", "--json"), Code.NO_WORKER, "critical")
    assert remedy.startswith("open any page of the site")
    assert "manage.py wagtail_worker" in remedy


def test_worker__the_last_one_has_died(worker: Worker, complaint: Complain) -> None:
    Worker.objects.update(heartbeat_at=ago(hours=3))
    text, _ = told(complaint("doctor", "--json"), Code.NO_WORKER, "critical")
    assert f"the last one, {worker}, has died 3 h ago: its log says why" in text


def test_worker__started_by_cron(worker: Worker, ask: Ask, complaint: Complain) -> None:
    Worker.objects.update(heartbeat_at=ago(minutes=5), stopped_at=ago(minutes=4))
    waiting(minutes=10)
    assert ask("doctor") == []
    waiting(minutes=20)
    told(complaint("doctor", "--json"), Code.NO_WORKER, "critical")


def test_queue__that_no_worker_serves(worker: Worker, complaint: Complain) -> None:
    Worker.objects.update(queues="all but mail; rm -rf")
    waiting(minutes=0.2, queue="mail; rm -rf")
    text, remedy = told(complaint("doctor", "--json"), Code.UNSERVED_QUEUE, "critical")
    assert text == 'No worker serves the queue "mail; rm -rf", and tasks wait there.'
    assert remedy.startswith("manage.py wagtail_worker --queue 'mail; rm -rf'")


def test_queue__of_the_settings_that_no_worker_serves(
    site: Any, worker: Worker, complaint: Complain
) -> None:
    site.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"slow": {"limit": 1}}}
    Worker.objects.update(queues="all but slow")
    text, _ = told(complaint("doctor", "--json"), Code.UNSERVED_QUEUE)
    assert 'No worker serves the queue "slow", so its tasks would wait for ever.' in text


def test_worker__of_another_release(worker: Worker, complaint: Complain) -> None:
    Worker.objects.update(release="0.0.9", code={"tests.site.blog.tasks": "another"})
    text, remedy = told(complaint("doctor", "--json"), Code.OTHER_RELEASE)
    assert f"The worker {worker} runs the release 0.0.9, but this process is of" in text
    assert "Restart" in remedy


def test_worker__started_before_the_newest_change(
    tmp_path: Path, registries: None, monkeypatch: pytest.MonkeyPatch, complaint: Complain, db: None
) -> None:
    file = tmp_path / "changing_hooks.py"
    function = (
        "@hooks.register('after_publish_page', background=True)\ndef purge(request, page): ..."
    )
    file.write_text(f"from wagtail_async_hooks import hooks\n\n{function}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("changing_hooks")
    try:
        row = identity.register(2, "", 0)
        file.write_text(file.read_text() + "\n# a change\n")
        text, remedy = told(complaint("doctor", "--json"), Code.OTHER_CODE)
    finally:
        del sys.modules["changing_hooks"]
    assert text == (
        f"The worker {row} runs other code than is here: changing_hooks was changed since."
    )
    assert "Restart" in remedy


def test_worker__of_a_release_without_hashes(worker: Worker, ask: Ask) -> None:
    Worker.objects.update(code=None)
    assert ask("doctor") == []


def test_clock__of_a_worker(worker: Worker, complaint: Complain) -> None:
    Worker.objects.update(clock_ahead=-7200, host="web-9")
    text, remedy = told(complaint("doctor", "--json"), Code.CLOCK)
    assert text.startswith("The clock of web-9 is 7200 s behind the database's.")
    assert remedy.startswith("timedatectl set-ntp true")


def test_clock__of_this_host(
    worker: Worker, complaint: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now
    monkeypatch.setattr(ledger, "clock", lambda: now() - datetime.timedelta(hours=2))
    text, _ = told(complaint("doctor", "--json"), Code.CLOCK)
    clock.forget()
    assert text.startswith("The clock of this host is 7200 s ahead of the database's.")


# Tasks --------------------------------------------------------------------------------------


def test_task__that_nobody_knows(worker: Worker, task_of: Any, complaint: Complain) -> None:
    def forgotten() -> None: ...

    forgotten.__qualname__ = "forgotten"
    task = task_of(forgotten)
    task()
    task.schedule(delay=60)
    row = BackgroundTask.objects.earliest("pk")
    task.unregister()
    try:
        text, remedy = told(complaint("doctor", "--json"), Code.UNKNOWN_TASK, "critical")
    finally:
        background._registry.register(task.task_class)
    assert text.startswith(f"2 of the tasks that are to be run, such as {row.pk}, are for ")
    assert f'"{__name__}.forgotten", which no code here knows' in text
    assert f"manage.py wagtail_tasks discard {row.pk}" in remedy


def test_task__of_tasks_that_nobody_knows(worker: Worker, complaint: Complain) -> None:
    from tests.work.tasks_of_package import add

    name = add.module_path.rpartition(".")[2]
    add.enqueue(1, 2)
    module: ModuleType = sys.modules["tests.work.tasks_of_package"]
    found = vars(module).pop(name)
    try:
        text, _ = told(complaint("doctor", "--json"), Code.UNKNOWN_TASK, "critical")
    finally:
        setattr(module, name, found)
    assert f'"{add.module_path}", which no code here knows' in text


def test_secret_key__of_waiting_tasks_is_another_one(
    site: Any, worker: Worker, complaint: Complain, ask: Ask
) -> None:
    row = make_task()
    site.SECRET_KEY, former = "another key of this site", site.SECRET_KEY
    text, remedy = told(complaint("doctor", "--json"), Code.SECRET_KEY, "critical")
    assert text.startswith(f"Task {row.pk} is not signed with the SECRET_KEY of this process")
    assert "SECRET_KEY_FALLBACKS" in remedy

    site.SECRET_KEY_FALLBACKS = [former]
    assert ask("doctor") == []


def test_pause__that_somebody_forgot(worker: Worker, complaint: Complain) -> None:
    pausing.pause(hook="after_publish_page", reason="the CDN moves")
    waiting(minutes=0, hook="after_publish_page")
    text, remedy = told(complaint("doctor", "--json"), Code.PAUSED)
    assert text.startswith('The hook "after_publish_page" has been paused for ')
    assert text.endswith(" (the CDN moves); 1 task waits for it.")
    assert remedy == "manage.py wagtail_tasks resume --hook after_publish_page"


def test_oldest__is_paused(worker: Worker, complaint: Complain) -> None:
    pausing.pause()
    row = waiting(minutes=5)
    found = finding(complaint("doctor", "--json"), Code.WAITING)
    assert found["text"] == (
        f"Task {row.pk} (Add) has waited longest, for 5 min. All background tasks are paused."
    )
    assert found["remedy"] == "manage.py wagtail_tasks resume --all"


def test_oldest__waits_for_a_limit(site: Any, worker: Worker, complaint: Complain) -> None:
    site.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"slow": {"limit": 1}}}
    make_task(state=State.RUNNING, attempt=1, queue="slow", slot=0, worker=worker)
    waiting(queue="slow")
    text, remedy = told(complaint("doctor", "--json"), Code.WAITING)
    assert "The queue “slow” has a limit of 1, and so many of its tasks run." in text
    assert remedy == 'Raise WAGTAIL_TASKS["QUEUES"]["slow"]["limit"], or wait'


def test_oldest__waits_for_an_exclusive_key(worker: Worker, complaint: Complain) -> None:
    other = make_task(state=State.RUNNING, attempt=1, exclusive_key="page 1", worker=worker)
    waiting(exclusive_key="page 1")
    text, remedy = told(complaint("doctor", "--json"), Code.WAITING)
    assert "Another task runs that may not run at the same time." in text
    assert remedy.startswith(f"manage.py wagtail_tasks show {other.pk} ")


def test_oldest__is_suspect_after_a_workers_death(worker: Worker, complaint: Complain) -> None:
    other = make_task(state=State.RUNNING, attempt=2, deaths=1, worker=worker)
    waiting(deaths=1)
    text, remedy = told(complaint("doctor", "--json"), Code.WAITING)
    assert "Each worker runs another task that workers have died of." in text
    assert f"manage.py wagtail_tasks cancel {other.pk}" in remedy


def test_oldest__waits_for_its_turn(worker: Worker, complaint: Complain) -> None:
    for _ in range(2):
        make_task(state=State.RUNNING, attempt=1, worker=worker)
    waiting(minutes=600)
    text, remedy = told(complaint("doctor", "--json"), Code.WAITING)
    assert "has waited longest, for 10 h." in text
    assert "2 of the 2 threads of the workers are busy" in text
    assert remedy.startswith("manage.py wagtail_worker")


def test_oldest__is_not_due(worker: Worker, ask_json: Ask) -> None:
    row = make_task(
        state=State.SCHEDULED,
        attempt=1,
        error="no luck",
        enqueued_at=ago(hours=3),
        run_at=timezone.now() + datetime.timedelta(minutes=90),
    )
    told = ask_json("doctor")
    [found] = told["findings"]
    assert (told["exit_code"], found["severity"], found["code"]) == (0, "note", Code.NOT_DUE)
    assert found["text"].startswith(
        f"Task {row.pk} (Add) was enqueued 3 h ago, and is not due: Try 1"
    )
    assert found["remedy"].startswith(f"manage.py wagtail_tasks show {row.pk} ")


def test_due__and_no_worker_notices(worker: Worker, complaint: Complain) -> None:
    make_task(state=State.SCHEDULED, enqueued_at=ago(hours=2), run_at=ago(hours=1))
    text, _ = told(complaint("doctor", "--json"), Code.WAITING)
    assert "Scheduled tasks have been due for 60 min" in text


# All of it ----------------------------------------------------------------------------------


def test_doctor__changes_nothing(worker: Worker, complaint: Complain) -> None:
    rows = [waiting(), make_task(state=State.SCHEDULED, run_at=ago(hours=1))]
    entries = dict(registry.entries)
    before = list(BackgroundTask.objects.order_by("pk").values())
    complaint("doctor", "--json")
    assert list(BackgroundTask.objects.order_by("pk").values()) == before
    assert [row.pk for row in rows] == [row["id"] for row in before]
    assert dict(registry.entries) == entries


def test_doctor__worst_first(worker: Worker) -> None:
    pausing.pause()
    Worker.objects.update(queues="mail")
    waiting()
    severities = [each.severity for each in examination.examine()]
    assert severities == sorted(severities, reverse=True)
    assert len(set(severities)) == 2
