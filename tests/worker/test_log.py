"""What a real worker logs of tasks that end in each of the ways: lines for people, and fields."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import REPOSITORY, Process, wait_until
from tests.work import log_tasks, tasks, tasks_of_package
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker.log import FIELDS

pytestmark = pytest.mark.slow

Start = Callable[..., Process]

SECRET = "ada.lovelace@example.com"
LINE = re.compile(r"[\d-]{10} [\d:,]{12} \[(\d+) ([\w-]+)\] (DEBUG|INFO|WARNING|ERROR) (.*)")
BACKEND = {"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}
ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED)


def enqueue(settings: Any) -> dict[str, BackgroundTask]:
    """Enqueue tasks that end in each of the ways; return their rows by what becomes of them."""
    settings.TASKS = BACKEND
    rows = {}
    for task in (
        *(log_tasks.succeed, log_tasks.fail, log_tasks.fail_again, log_tasks.discard),
        log_tasks.snooze,
    ):
        task(SECRET)
        rows[task.func.__name__] = BackgroundTask.objects.latest("pk")
    background.enqueue(log_tasks.expire.s(SECRET, expires=datetime.datetime(2020, 1, 1)))
    rows["expire"] = BackgroundTask.objects.latest("pk")
    tasks_of_package.fail.enqueue()
    rows["of_tasks"] = BackgroundTask.objects.latest("pk")
    assert len({row.pk for row in rows.values()}) == len(rows)
    return rows


def work(start: Start, rows: dict[str, BackgroundTask], **environment: str) -> list[str]:
    """Return the lines that a worker writes until what can end has ended."""
    variables = {"TEST_TASKS": json.dumps(BACKEND), **environment}
    worker = start("wagtail_worker", **variables)
    meant = [row.pk for name, row in rows.items() if name != "snooze"]
    ended = BackgroundTask.objects.filter(pk__in=meant, state__in=ENDS)
    wait_until(lambda: ended.count() == len(meant), f"all have ended: {worker.said()}")
    snoozed = BackgroundTask.objects.filter(pk=rows["snooze"].pk, state=State.SCHEDULED)
    wait_until(snoozed.exists, f"one is snoozed: {worker.said()}")
    worker.stop()
    return worker.said().splitlines()


def test_lines__one_format_one_id_and_one_traceback(
    start: Start, committed_db: None, settings: Any
) -> None:
    rows = enqueue(settings)

    lines = work(start, rows)

    said = "\n".join(lines)
    assert [line for line in lines if not LINE.match(line) and not _is_of_traceback(line)] == []
    for row in rows.values():  # Huey's ids are nowhere
        assert row.task_id not in said
    assert said.count("Traceback (most recent call last)") == 1 + 2 + 1

    def of(name: str) -> str:
        row = rows[name]
        path = f"tests.work.log_tasks.{name} [task {row.pk}] "
        found = [match[4] for line in lines if (match := LINE.match(line)) and path in line]
        return "\n".join(found).replace(path, "")

    number = r"[\d.]+"
    assert re.fullmatch(rf"started\nsucceeded after {number} s", of("succeed"))
    assert re.search(rf"\nfailed after {number} s: no luck with {SECRET}", of("fail"))
    assert re.search(rf"\nretrying in 2 s after {number} s: out of paint\n", of("fail_again"))
    again = rf"\nstarted, attempt 2\n(.*\n)*failed after {number} s: out of paint"
    assert re.search(again, of("fail_again"))
    assert re.search(rf"\ncancelled after {number} s: ValueError$", of("discard"))
    assert re.search(rf"\nsnoozed after {number} s, to be called again at ", of("snooze"))
    assert re.search(rf"\nexpired after {number} s: it expired before ", of("expire"))
    # What a task was called with is nowhere but in the text of an error.
    matches = [match for line in lines if (match := LINE.match(line))]
    assert not any(SECRET in match[4] for match in matches if match[3] == "INFO")
    threads = {match[2] for match in matches if "[task " in match[4]}
    assert threads <= {"Worker-1", "Worker-2"}


def _is_of_traceback(line: str) -> bool:
    is_error = re.match(r"[\w.]+(Error|Exception|Type\w*)\b", line)
    return line.startswith(("Traceback", " ")) or is_error is not None or not line


def test_fields__say_which_task_it_is(start: Start, committed_db: None, settings: Any) -> None:
    rows = enqueue(settings)

    lines = work(start, rows, DJANGO_SETTINGS_MODULE="tests.logs.settings")

    records = [json.loads(line) for line in lines]

    def of(name: str, **fields: Any) -> list[dict[str, Any]]:
        wanted = {"task_pk": rows[name].pk, **fields}
        return [record for record in records if wanted.items() <= record.items()]

    for record in records:
        assert set(FIELDS) <= record.keys()
    [end] = of("succeed", action="succeeded")
    path = "tests.work.log_tasks.succeed"
    told = {"task_id": rows["succeed"].task_id, "task_name": path, "function": path, "hook": ""}
    assert told.items() <= end.items()
    assert (end["queue"], end["attempt"], end["level"]) == ("default", 1, "INFO")
    assert isinstance(end["duration"], float)
    [own] = of("succeed", logger="shop")
    assert (own["message"], own["action"], own["attempt"]) == ("The shop is open.", None, 1)
    assert own["thread"].startswith("Worker-")
    [retrying] = of("fail_again", action="retrying")
    assert (retrying["level"], retrying["error_type"]) == ("WARNING", "builtins.ValueError")
    assert retrying["delay"] == pytest.approx(2, abs=0.5)
    assert of("fail", action="failed", level="ERROR")
    assert [record["traceback"] for record in of("fail", logger="huey", level="ERROR")] == [True]
    assert of("snooze", action="snoozed")[0]["run_at"]
    assert of("discard", action="cancelled")[0]["error_type"] == "builtins.ValueError"
    of_nobody = [record for record in records if record["task_pk"] is None]
    assert any(record["message"].startswith("Worker ") for record in of_nobody)
    informed = [record for record in records if record["level"] == "INFO"]
    assert not any(SECRET in json.dumps(record) for record in informed)


def test_fields__are_those_of_the_documentation() -> None:
    page = (REPOSITORY / "docs/reference/worker.md").read_text()
    section = page.split("### Fields")[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == FIELDS


def test_lines__of_a_task_whose_worker_died(
    start: Start, committed_db: None, trace_file: Path
) -> None:
    tasks.die(str(trace_file))
    row = BackgroundTask.objects.get()
    assert start("wagtail_worker").wait() == 9

    worker = start("wagtail_worker")
    line = worker.wait_for(rf"\[\d+ MainThread\] WARNING .* \[task {row.pk}\] was held by .*")

    assert line[0].endswith("a worker that died, and waits again")
