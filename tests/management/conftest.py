"""Fixtures: what ``wagtail_tasks`` answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command

Ask = Callable[..., Any]


@pytest.fixture
def ask(db: None) -> Ask:
    """Run a subcommand; return the lines of its answer."""

    def ask(*arguments: object) -> list[str]:
        stdout = io.StringIO()
        call_command("wagtail_tasks", *map(str, arguments), stdout=stdout, stderr=io.StringIO())
        return stdout.getvalue().splitlines()

    return ask


@pytest.fixture
def ask_json(ask: Ask) -> Ask:
    """Run a subcommand; return what its answer says as JSON."""

    def ask_json(name: str, *arguments: object) -> Any:
        return json.loads("\n".join(ask(name, "--json", *arguments)))

    return ask_json


@pytest.fixture
def refusal(ask: Ask) -> Ask:
    """Run a subcommand that refuses; return the sentence with which it does."""

    def refusal(*arguments: object) -> str:
        with pytest.raises(CommandError) as refused:
            ask(*arguments)
        return str(refused.value)

    return refusal


class Complaint(NamedTuple):
    """What a subcommand has answered before it ended with another exit code than 0."""

    lines: list[str]
    error: str
    exit_code: int

    @property
    def json(self) -> Any:
        """Its answer, where that is JSON."""
        return json.loads("\n".join(self.lines))


@pytest.fixture
def complaint() -> Ask:
    """Run a subcommand that answers, and ends with an exit code; return both.

    Which database it is run on is up to the test, unlike with the others.
    """

    def complaint(*arguments: object) -> Complaint:
        stdout = io.StringIO()
        with pytest.raises(CommandError) as refused:
            call_command("wagtail_tasks", *map(str, arguments), stdout=stdout, stderr=io.StringIO())
        lines = stdout.getvalue().splitlines()
        return Complaint(lines, str(refused.value), refused.value.returncode)

    return complaint
