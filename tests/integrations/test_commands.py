"""Tests of management commands as background tasks."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import BaseCommand, CommandError, call_command
from django.core.management.base import CommandParser

from wagtail_async_hooks import background
from wagtail_async_hooks.integrations import commands
from wagtail_async_hooks.integrations.commands import MAX_OUTPUT, run_command
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db


class Command(BaseCommand):
    """A command that prints what it was given."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("words", nargs="*")
        parser.add_argument("--times", type=int, default=1)
        parser.add_argument("--code", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(" ".join(options["words"]) * options["times"])
        self.stderr.write("a warning")
        if options["code"] is not None:
            raise SystemExit(options["code"])
        if options["times"] == 0:
            raise CommandError("no times at all")


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a command."""

    def call(name: str, *args: str, **options: Any) -> Any:
        return call_command(Command() if name == "say" else name, *args, **options)

    monkeypatch.setattr(commands, "call_command", call)


def ran(*args: Any, **options: Any) -> BackgroundTask:
    """Run a command as a task; return its row."""
    run_command(*args, **options)
    background.execute(background.next())
    return BackgroundTask.objects.get()


def test_run_command__keeps_what_it_prints() -> None:
    task = ran("say", "so", times=2)

    assert task.state == State.SUCCEEDED
    assert background.result(task.task_id) == "soso\na warning\n"


def test_run_command__keeps_the_end_of_much() -> None:
    task = ran("say", "x", times=2 * MAX_OUTPUT)

    printed = background.result(task.task_id)
    assert len(printed) == MAX_OUTPUT
    assert printed.endswith("x\na warning\n")


def test_run_command__that_fails() -> None:
    task = ran("say", times=0)

    assert (task.state, task.error) == (State.FAILED, "no times at all")


def test_run_command__that_does_not_exist() -> None:
    task = ran("sya")

    assert (task.state, task.error) == (State.FAILED, "Unknown command: 'sya'")


@pytest.mark.parametrize(("code", "state"), [(0, State.SUCCEEDED), (3, State.FAILED)])
def test_run_command__that_exits(code: int, state: State) -> None:
    task = ran("say", code=code)

    assert task.state == state
    assert task.error == ("say ended with exit code 3." if code else "")


# Other classes for commands -----------------------------------------------------------------


class Louder(Command):
    """What stands in for the command."""

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(" ".join(options["words"]).upper())


@pytest.mark.parametrize("stand_in", [Louder, f"{__name__}.Louder"])
def test_register__another_class_does_it(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_stand_ins", {})
    commands.register("say", stand_in)

    task = ran("say", "so")

    assert background.result(task.task_id) == "SO\n"


def test_run_command__that_is_not_suited() -> None:
    task = ran("runserver")

    assert (task.state, task.error) == (
        State.FAILED,
        "runserver cannot run as a background task: it runs until it is stopped.",
    )


def test_make_task__says_which_command() -> None:
    background.enqueue(commands.make_task("say", "so", times=2))

    assert BackgroundTask.objects.get().function == "manage.py say"


def test_stand_ins__are_of_commands_that_exist() -> None:
    for name in commands._stand_ins:
        assert commands.is_command(name)
        assert isinstance(commands.find(name), BaseCommand)
    assert all(commands.is_command(name) for name in commands.UNSUITED)
