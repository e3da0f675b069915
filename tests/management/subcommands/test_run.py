"""Tests of ``wagtail_tasks run``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.draining import run_all
from tests.management.conftest import Ask
from tests.processes import Process
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.management.subcommands import run
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control

CHECK = ("check", "--tag=staticfiles")
"""A command that looks into no database."""


def row() -> BackgroundTask:
    """Return the only task."""
    return BackgroundTask.objects.get()


def result() -> Any:
    """Run the only task; return what it has returned."""
    run_all()
    return background.result(row().task_id)


# What is run --------------------------------------------------------------------------------


def test_run__a_command(ask: Ask) -> None:
    assert ask("run", "diffsettings", "--output=unified", "--default", "django.conf") == [
        f"Task {row().pk} is enqueued."
    ]
    assert (row().state, row().function) == ("waiting", "manage.py diffsettings")
    assert "\n+ WAGTAIL_TASKS = " in result()


def test_run__as_json(ask_json: Ask) -> None:
    told = ask_json("run", "check")
    assert (told["id"], told["state"], told["task_id"]) == (row().pk, "waiting", row().task_id)


def test_run__a_task(ask: Ask) -> None:
    ask("run", "tests.work.tasks.add", 1, "--b=2")
    assert (row().function, result()) == ("tests.work.tasks.add", 3)


def test_run__arguments_are_json_where_they_are_that(ask: Ask) -> None:
    ask("run", "tests.work.tasks.show_all", "--a=[1]", '--b="1"', "--c=x y", "--d-e", "--f=01")
    assert result() == {"a": [1], "b": "1", "c": "x y", "d_e": True, "f": "01"}


def test_run__a_task_that_asks_for_itself(ask: Ask) -> None:
    ask("run", "tests.work.tasks.with_context", 5)
    assert result() == f"{row().task_id} 5"


def test_run__a_task_of_tasks(settings: Any, ask: Ask) -> None:
    settings.TASKS = {
        "default": {
            "BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend",
            "QUEUES": ["default", "slow"],
        }
    }
    path = "wagtail.tasks.update_reference_index_task"
    ask("run", path, "wagtailcore", "page", '"2"', "--priority", 7, "--queue", "slow")
    assert (row().function, row().priority, row().queue) == (path, 7, "slow")


def test_run__an_entry_of_the_schedule(settings: Any, ask: Ask) -> None:
    entry = {"function": "tests.work.tasks.greet", "args": ["Ada"], "crontab": "0 3 * * *"}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "SCHEDULE": {"a greeting": entry}}
    ask("run", "a greeting")
    assert (row().function, result()) == ("tests.work.tasks.greet", "Hello Ada!")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--priority", 5, "--queue=slow", "check", "--tag=staticfiles"),
        ("check", "--priority=5", "--tag=staticfiles", "--queue", "slow"),
    ],
)
def test_run__our_options_before_and_after_the_name(arguments: Any, ask: Ask) -> None:
    ask("run", *arguments)
    assert (row().priority, row().queue) == (5, "slow")
    assert result() == "System check identified no issues (0 silenced).\n"


def test_run__what_follows_two_dashes_is_passed_on(ask: Ask) -> None:
    ask("run", "tests.work.tasks.show_all", "--queue=slow", "--", "--queue=theirs", "--json")
    assert row().queue == "slow"
    assert result() == {"queue": "theirs", "json": True}


# What is not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("chekc",),
            'There is no command, task or entry of the schedule named "chekc"; did you mean '
            '"check"?',
        ),
        (
            ("runserver",),
            "runserver cannot run as a background task: it runs until it is stopped.",
        ),
        (
            ("check", "--tga=models"),
            'check does not take "--tga=models": unrecognized arguments: --tga=models',
        ),
        (
            ("tests.work.tasks.ad",),
            'tests.work.tasks.ad cannot be imported: Module "tests.work.tasks" does not define a '
            '"ad" attribute/class; did you mean "tests.work.tasks.add"?',
        ),
        (
            ("tests.work.tasks.add", "1"),
            'tests.work.tasks.add does not take "1": it takes (a, b).',
        ),
        (
            ("tests.work.tasks.greet", "Ada"),
            "tests.work.tasks.greet is no background task, so that a worker would not find it; "
            "decorate it with @background.task(), or run it with --here.",
        ),
        (("tests.work.tasks.os",), "tests.work.tasks.os is a module, which cannot be run."),
        (
            ("tests.work.tasks.show_all", "--api-key=hunter2"),
            "--api-key looks like a secret, which the task's row would keep; let the command read "
            "it from the settings, or run it with --here.",
        ),
        (
            ("check", "--queue", "a\n"),
            "--queue should be a name of 1 to 64 printable characters, with no space around it, "
            "but is 'a\\n'.",
        ),
        (
            ("check", "--priority=high"),
            "Error: argument --priority: invalid int value: 'high'",
        ),
    ],
)
def test_run__refuses(arguments: Any, told: str, refusal: Ask) -> None:
    assert refusal("run", *arguments) == told
    assert not BackgroundTask.objects.exists()


def test_run__a_task_that_our_workers_do_not_run(refusal: Ask) -> None:
    told = refusal("run", "wagtail.tasks.update_reference_index_task", "a", "b", "c")
    assert told.startswith('TASKS["default"] leads elsewhere')


def test_run__without_a_backend(immediate: None, refusal: Ask) -> None:
    assert refusal("run", "check") == (
        'WAGTAIL_TASKS["BACKEND"] is blank, so that nothing runs in the background; set it to '
        '"database", "redis" or "celery", or run it with --here.'
    )


# Here ---------------------------------------------------------------------------------------


def test_here__a_command(immediate: None, ask: Ask, ask_json: Ask) -> None:
    said = "System check identified no issues (0 silenced)."
    assert ask("run", "--here", *CHECK) == [said]
    assert ask_json("run", "--here", *CHECK) == {"result": f"{said}\n"}
    assert not BackgroundTask.objects.exists()


@pytest.mark.parametrize(
    ("path", "given", "told"),
    [
        ("tests.work.tasks.add", (1, 2), 3),
        ("tests.work.tasks.greet", ("Ada",), "Hello Ada!"),
        ("tests.work.tasks.add_slowly", (1, 2), 3),
    ],
)
def test_here__a_function(path: str, given: Any, told: Any, ask: Ask, ask_json: Ask) -> None:
    assert ask("run", "--here", path, *given) == [str(told)]
    assert ask_json("run", "--here", path, *given) == {"result": told}
    assert not BackgroundTask.objects.exists()


def test_here__an_entry_of_the_schedule(settings: Any, ask: Ask) -> None:
    entry = {"function": "tests.work.tasks.greet", "args": ["Ada"], "crontab": "0 3 * * *"}
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "SCHEDULE": {"a greeting": entry}}
    assert ask("run", "--here", "a greeting") == ["Hello Ada!"]


def test_here__there_is_no_task_to_ask_for(refusal: Ask) -> None:
    assert refusal("run", "--here", "tests.work.tasks.with_context", 5) == (
        "tests.work.tasks.with_context asks for its task, and there is none with --here."
    )


# Wait ---------------------------------------------------------------------------------------


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Do something once while a task is waited for."""

    def do(action: Callable[[], Any]) -> None:
        actions = [action]
        monkeypatch.setattr(run.time, "sleep", lambda seconds: actions.pop()())

    return do


@pytest.mark.slow
def test_wait__with_a_worker(start: Callable[..., Process], tmp_path: Path) -> None:
    start("wagtail_worker").wait_for("Worker .* starts")
    good = start("wagtail_tasks", "run", "check", "--wait", "--json")
    bad = start("wagtail_tasks", "run", "tests.work.tasks.fail", "--wait")

    assert (good.wait(), bad.wait()) == (0, 1)

    said = good.said()
    told = json.loads(said[said.index("{") :])
    assert (told["state"], told["function"]) == ("succeeded", "manage.py check")
    assert told["result"].startswith("System check identified ")
    failed = BackgroundTask.objects.get(state="failed")
    assert bad.said().endswith(f"CommandError: Task {failed.pk} has failed: no luck\n")


def test_wait__a_task_that_is_discarded(meanwhile: Any, refusal: Ask) -> None:
    meanwhile(lambda: control.discard(control.select()))
    assert "was discarded." in refusal("run", "check", "--wait")


def test_wait__says_that_nobody_works(
    meanwhile: Any, capsys: pytest.CaptureFixture[str], db: None
) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    meanwhile(give_up)
    with pytest.raises(CommandError) as stopped:
        call_command("wagtail_tasks", "run", "check", "--wait")

    assert str(stopped.value) == f"Task {row().pk} goes on; nobody waits for it."
    assert stopped.value.returncode == 130
    assert capsys.readouterr().err.splitlines() == [
        f"Task {row().pk} is enqueued.",
        "It does not begin yet: No worker is running.",
    ]


def test_wait__follows_what_it_was_merged_into(meanwhile: Any, ask: Ask) -> None:
    def run_and_merge() -> None:
        waiting = row()
        tasks.add(1, 2)
        newer = BackgroundTask.objects.latest("pk")
        BackgroundTask.objects.filter(pk=waiting.pk).update(state="merged", merged_into=newer)
        run_all()

    meanwhile(run_and_merge)
    said = ask("run", "tests.work.tasks.add", 1, 2, "--wait")
    assert said == ["3", f"Task {BackgroundTask.objects.latest('pk').pk} has succeeded."]
