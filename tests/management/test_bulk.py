"""Tests of ``wagtail_tasks cancel``, ``retry`` and ``discard``."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError

from tests.draining import run_all
from tests.management.conftest import Ask
from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import control


def keys() -> list[int]:
    """Return the numbers of all tasks, oldest first."""
    return list(BackgroundTask.objects.order_by("pk").values_list("pk", flat=True))


def states() -> list[str]:
    """Return the states of all tasks, oldest first."""
    return list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))


@pytest.fixture
def three(db: None) -> None:
    """A task that has succeeded, one that has failed, and one that waits."""
    tasks.add(1, 2)
    tasks.fail()
    run_all()
    tasks.add(3, 4)


def test_cancel__by_numbers(three: None, ask: Ask) -> None:
    assert ask("cancel", *keys()) == [
        "1 task cancelled.",
        "2 tasks left alone: only what is running, scheduled or waiting can be cancelled.",
    ]
    assert states() == ["succeeded", "failed", "cancelled"]


def test_retry__by_state(three: None, ask_json: Ask) -> None:
    assert ask_json("retry", "--state=failed") == {"retried": 1, "left": 0, "dry_run": False}
    assert states() == ["succeeded", "waiting", "waiting"]


def test_discard__by_function(three: None, ask: Ask) -> None:
    assert ask("discard", "--function=tests.work.tasks.add", "--yes") == ["2 tasks discarded."]
    assert states() == ["failed"]


def test_discard__all(three: None, ask: Ask) -> None:
    BackgroundTask.objects.filter(state="waiting").update(state="running")
    assert ask("discard", "--all", "--yes") == ["2 tasks discarded."]
    assert states() == ["running"]


def test_filters__and_numbers_together(three: None, ask: Ask) -> None:
    assert ask("discard", *keys(), "--state=failed") == ["1 task discarded."]
    assert states() == ["succeeded", "waiting"]


@pytest.mark.parametrize(
    ("name", "told"), [("cancel", "cancelled"), ("retry", "retried"), ("discard", "discarded")]
)
def test_dry_run__does_nothing(name: str, told: str, three: None, ask: Ask) -> None:
    before = states()
    number = 3 if name == "discard" else 1
    [line] = ask(name, "--all", "--dry-run")
    assert line == f"{number} task{'s' if number > 1 else ''} would be {told}."
    assert states() == before


@pytest.mark.parametrize("name", ["cancel", "retry", "discard"])
def test_nothing_chosen__is_not_everything(name: str, three: None, refusal: Ask) -> None:
    before = states()
    assert refusal(name) == (
        "Say which tasks: by their numbers, by a filter such as --state, or by --all."
    )
    assert states() == before


def test_all__with_a_filter(three: None, refusal: Ask) -> None:
    assert refusal("cancel", "--all", "--queue=default") == (
        "Give either numbers and filters, or --all."
    )


def test_numbers__that_do_not_exist(three: None, refusal: Ask) -> None:
    before, last = states(), keys()[-1]
    assert refusal("discard", *keys(), last + 1, last + 2) == (
        f"There is no task {last + 1}, {last + 2}."
    )
    assert states() == before


def test_retry__leaves_out_what_may_repeat_a_side_effect(three: None, ask: Ask) -> None:
    _, failed, _ = keys()
    BackgroundTask.objects.filter(pk=failed).update(side_effect="email")
    told = "1 task left alone that may repeat a side effect; see --repeat-side-effects."

    assert ask("retry", failed) == ["0 tasks retried.", told]
    assert ask("retry", "--state=failed", "--dry-run") == ["0 tasks would be retried.", told]
    assert states() == ["succeeded", "failed", "waiting"]

    assert ask("retry", failed, "--repeat-side-effects") == ["1 task retried."]
    assert states() == ["succeeded", "waiting", "waiting"]


def test_interrupted__says_how_things_stand(
    three: None, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(tasks: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(control, "discard", interrupt)
    with pytest.raises(CommandError) as interrupted:
        ask("discard", "--all", "--yes")

    assert interrupted.value.returncode == 130
    assert str(interrupted.value) == (
        "Interrupted: some of the tasks may be discarded already, the others are as they were."
    )
