"""Tests of ``wagtail_tasks pause`` and ``resume``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.management.conftest import Ask
from tests.work import tasks
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.worker import identity


def test_pause__a_queue(settings: Any, ask: Ask, ask_json: Ask) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "QUEUES": {"slow": {"limit": 1}}}

    assert ask("pause", "--queue=slow", "--reason=it moves") == ['Queue "slow" is paused.']

    [pause] = pausing.paused()
    assert (pause.kind, pause.name, pause.reason) == ("queue", "slow", "it moves")
    assert ask("pause", "--queue=slow") == ['Queue "slow" was paused already.']
    identity.register(1, "", 0)  # so that somebody works
    [told] = ask_json("status")["paused"]
    assert (told["kind"], told["name"], told["reason"]) == ("queue", "slow", "it moves")
    assert re.fullmatch(r'Queue "slow" is paused, for \d+ s: it moves', ask("status")[-1])


def test_resume__says_what_is_still_paused(ask: Ask) -> None:
    tasks.add(1, 2)
    ask("pause", "--hook=after_publish_page")
    ask("pause", "--function=tests.work.tasks.add")
    ask("pause", "--all")

    assert ask("resume", "--all") == [
        "Everything is resumed.",
        'Still paused: Hook "after_publish_page", Function "tests.work.tasks.add".',
    ]
    ask("resume", "--hook=after_publish_page")
    assert ask("resume", "--function=tests.work.tasks.add") == [
        'Function "tests.work.tasks.add" is resumed.'
    ]
    assert ask("resume", "--queue=default") == ['Queue "default" was not paused.']
    assert pausing.paused() == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Say what to pause: --queue, --hook or --function with a name, or --all."),
        (
            ("--hook=after_publish_pge",),
            'No hook is named "after_publish_pge"; did you mean "after_publish_page"?',
        ),
        (("--queue=defalt",), 'No queue is named "defalt"; did you mean "default"?'),
        (
            ("--hook=x", "--queue=y"),
            "Error: argument --queue: not allowed with argument --hook",
        ),
    ],
)
def test_pause__refuses(arguments: Any, told: str, refusal: Ask) -> None:
    assert refusal("pause", *arguments) == told
    assert pausing.paused() == []
