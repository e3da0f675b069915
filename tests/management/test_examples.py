"""What each subcommand prints, compared with ``tests/management/examples/``.

``EXAMPLES=write pytest tests/management/test_examples.py`` stores it anew; look at the difference.
Clock, keys, hosts and ids of the tasks are made, so that the answers need not be altered.
"""

from __future__ import annotations

import datetime
import io
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.color import no_style
from django.db import connection
from wagtail.models import Page

from tests.monitoring.alerts import receivers
from tests.work import tasks
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.integrations.tasks_backend import wagtails_own
from wagtail_async_hooks.management.commands.wagtail_tasks import known
from wagtail_async_hooks.models import BackgroundTask, TaskAttempt, Worker
from wagtail_async_hooks.monitoring import hook_functions, registered
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils import uuid7
from wagtail_async_hooks.utils.database import clock

FOLDER: Final = Path(__file__).with_name("examples")
NOW: Final = datetime.datetime(2026, 2, 3, 14, 30, tzinfo=datetime.UTC)
COLUMNS: Final = "80"
OF_SITE: Final = ("tests.site.", "wagtail.")

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "cancel": ("cancel", "24"),
    "cancel-many": ("cancel", "--state=waiting", "--yes"),
    "cancel-nobody-to-ask": ("cancel", "--state=waiting"),
    "cancel-ended": ("cancel", "21", "24", "--yes"),
    "discard": ("discard", "21"),
    "discard-dry-run": ("discard", "--all", "--dry-run"),
    "discard-json": ("discard", "--all", "--yes", "--json"),
    "discard-many": ("discard", "--state=failed", "--state=waiting", "--yes"),
    "discard-nobody-to-ask": ("discard", "--all"),
    "doctor": ("doctor",),
    "doctor-alert": ("doctor", "--alert", "--ignore=check", "--ignore=tasks-elsewhere"),
    "doctor-alert-json": ("doctor", "--test-alert", "--json"),
    "doctor-json": ("doctor", "--json"),
    "errors": ("errors",),
    "errors-json": ("errors", "--json"),
    "errors-terminal": ("errors",),
    "hooks-terminal": ("hooks",),
    "list": ("list",),
    "list-json": ("list", "--state=failed", "--limit=1", "--json"),
    "list-limit": ("list", "--limit=2"),
    "list-nothing": ("list", "--state=expired"),
    "list-terminal": ("list",),
    "pause": ("pause", "--hook=after_publish_page", "--reason=the cache server moves"),
    "pause-already": ("pause", "--queue=mail"),
    "prune": ("prune", "--days=0.01"),
    "resume": ("resume", "--queue=mail"),
    "resume-nothing": ("resume", "--all"),
    "retry": ("retry", "--state=failed"),
    "retry-dry-run": ("retry", "21", "20", "--dry-run"),
    "run": ("run", "check", "--tag=staticfiles"),
    "run-here": ("run", "--here", "tests.work.tasks.greet", "Ada"),
    "run-json": ("run", "check", "--json"),
    "run-unserved": ("run", "check", "--queue=slow"),
    "run-unknown": ("run", "chekc"),
    "show-failed": ("show", "21"),
    "show-json": ("show", "21", "--json"),
    "show-merged": ("show", "22"),
    "show-succeeded": ("show", "20"),
    "show-unknown": ("show", "99"),
    "show-paused": ("show", "26"),
    "show-running": ("show", "25"),
    "show-waiting": ("show", "24"),
    "status": ("status",),
    "status-json": ("status", "--json"),
}
"""The command line of each example. Where the name ends with ``terminal``, that is one."""


@background.task(retries=1, title="Purge the cache for “{page}”")
def purge_cache(page: Page, password: str) -> None:
    """Do nothing; what becomes of it is made up."""


class Terminal(io.StringIO):
    """Takes what a command prints, and says that it is a terminal."""

    def isatty(self) -> bool:
        """See ``io.IOBase``."""
        return True


def ago(**time: float) -> datetime.datetime:
    """Return a moment before :data:`NOW`."""
    return NOW - datetime.timedelta(**time)


def make(pk: int, **columns: Any) -> None:
    """Give the newest task a number, and what became of it."""
    newest = BackgroundTask.objects.latest("pk")
    task_id = f"019c2400-0000-7000-8000-0000000000{pk}"
    BackgroundTask.objects.filter(pk=newest.pk).update(id=pk, task_id=task_id, **columns)


def make_workers() -> list[Worker]:
    """Return two workers that live, and serve different queues."""
    made = []
    for pk, (host, queues) in enumerate((("web-1", "default"), ("web-2", "mail")), start=3):
        worker = Worker(pk=pk, host=host, pid=4708 + pk, threads=4, queues=queues, release="2.1")
        made.append(ledger.register_worker(worker))
    Worker.objects.update(started_at=ago(hours=3))
    return made


def make_tasks(page: Page, user: Any) -> None:
    """Make a task in each of the states that say something."""
    first, second = make_workers()
    about = {"user_id": user.pk, "enqueued_at": ago(minutes=22)}
    ended = {"started_at": ago(minutes=19), "finished_at": ago(minutes=18, seconds=58)}
    tasks.add(1, 2)
    result = background.serializer.serialize(3)
    ended |= {"enqueued_at": ago(minutes=22)}
    make(20, state=State.SUCCEEDED, attempt=1, worker=first, result=result, **ended)
    purge_cache(page, password="hunter2")
    failed = {"error": "ConnectTimeout: no answer in 5 s", "error_type": "shop.ConnectTimeout"}
    failed |= {"error_place": "shop.cdn.purge", "traceback": "Traceback …\nConnectTimeout\n"}
    counts = {"attempt": 2, "deaths": 1, "side_effect": "purge", "priority": 50}
    make(21, state=State.FAILED, worker=second, **{**about, **failed, **counts, **ended})
    TaskAttempt.objects.create(
        task_id=21,
        number=1,
        worker=first,
        started_at=ago(minutes=21),
        ended_at=ago(minutes=20),
        error="ConnectTimeout: no answer in 5 s",
        error_type="shop.ConnectTimeout",
    )
    purge_cache(page, password="hunter2")
    merged = {"state": State.MERGED, "merged_into": 24, "finished_at": ago(minutes=10)}
    make(22, coalesce_key="page 2", **about, **merged)
    tasks.fail("no luck")
    failed = {"error": "no luck", "error_type": "builtins.ValueError", "attempt": 1}
    make(23, state=State.FAILED, worker=first, **failed, **ended)
    purge_cache(page, password="hunter2")
    make(24, coalesce_key="page 2", **{**about, "enqueued_at": ago(seconds=40)})
    tasks.add(3, 4)
    progress = {"progress_done": 3, "progress_total": 7, "progress_note": "pages"}
    times = {"enqueued_at": ago(minutes=2), "started_at": ago(minutes=1)}
    make(25, state=State.RUNNING, attempt=1, worker=first, **times, **progress)
    tasks.add(5, 6)
    make(26, queue="mail", enqueued_at=ago(minutes=5))


@pytest.fixture
def site(db: None, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Make tasks with numbers, times, workers and people that are always the same."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite takes its clock from the process")
    queues = {"mail": {"limit": 1}, "slow": {"limit": 1}}
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "ALERTS": {"to": [receivers.PATH]},
        "QUEUES": queues,
        "HOOKS": {
            "after_publish_page": {"priority": 50},
            "tests.site.blog.wagtail_hooks.draw_share_image": {"priority": 10},
        },
    }
    clock.forget()
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setenv("COLUMNS", COLUMNS)
    # The same whichever release of Wagtail it is, and whatever ran before.
    path = "wagtail.tasks.delete_file_from_storage_task"
    monkeypatch.setattr(wagtails_own, "OPTIONS", {path: wagtails_own.OPTIONS[path]})
    listed = registered.listed
    monkeypatch.setattr(
        registered,
        "listed",
        lambda: [each for each in listed() if each.function.startswith(OF_SITE)],
    )
    functions = hook_functions.all_functions
    monkeypatch.setattr(
        hook_functions, "all_functions", lambda: [each for each in functions() if is_known(each)]
    )
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_by_name_sql(
            no_style(), [{"table": BackgroundTask._meta.db_table}]
        ):
            cursor.execute(statement)
    page = Page.objects.get(depth=2)
    user = get_user_model().objects.create(pk=11, username="ada", first_name="Ada")
    make_tasks(page, user)
    pausing.pause(queue="mail", reason="the mail server moves")


def is_known(each: hook_functions.HookFunction) -> bool:
    """Return whether a function is none of other tests."""
    return each.function.startswith(OF_SITE) or not each.function.startswith("tests.")


def answered(name: str) -> str:
    """Return what a shell would show of an example."""
    arguments = EXAMPLES[name]
    stdout = Terminal() if name.endswith("terminal") else io.StringIO()
    stderr = io.StringIO()
    code = 0
    try:
        call_command("wagtail_tasks", *arguments, stdout=stdout, stderr=stderr)
    except CommandError as error:
        stderr.write(f"CommandError: {error}\n")
        code = error.returncode
    shell = [f"'{each}'" if " " in each else each for each in arguments]
    parts = [f"$ manage.py wagtail_tasks {' '.join(shell)}\n", stdout.getvalue()]
    parts += [f"--- stderr\n{stderr.getvalue()}"] if stderr.getvalue() else []
    parts += [f"--- exit code {code}\n"] if code else []
    return "".join(parts)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("name", EXAMPLES)
def test_example__is_as_it_is_stored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        uuid7, "time", SimpleNamespace(time_ns=lambda: int(NOW.timestamp()) * 10**9)
    )
    monkeypatch.setattr(uuid7, "os", SimpleNamespace(urandom=bytes))
    file = FOLDER / f"{name}.txt"

    said = answered(name)

    if os.environ.get("EXAMPLES") == "write":
        file.write_text(said)
    assert file.exists(), f'Store it: "EXAMPLES=write pytest {__name__.replace(".", "/")}.py"'
    assert said == file.read_text()


def test_examples__there_is_one_for_each_subcommand() -> None:
    missing = set(known()) - {arguments[0] for arguments in EXAMPLES.values()}
    assert not missing, f"Add an example of {sorted(missing)}, and store it."
    assert {file.stem for file in FOLDER.iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.endswith("terminal")])
def test_examples__of_a_terminal_fit_it(name: str) -> None:
    too_long = [
        line
        for line in (FOLDER / f"{name}.txt").read_text().splitlines()
        if len(line) > int(COLUMNS) and not re.match(r'\s+(by )?WAGTAIL_TASKS\["HOOKS"\]', line)
    ]
    assert too_long == []
