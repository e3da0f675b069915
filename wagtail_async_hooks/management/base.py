"""What the subcommands of ``wagtail_tasks`` have in common: how they are made, and how they answer.

A module of :mod:`wagtail_async_hooks.management.subcommands` is a subcommand: its name is that of
the module, and what it does is its class ``Subcommand``.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.management.base import CommandError, OutputWrapper

from wagtail_async_hooks.utils.suggestions import nearest
from wagtail_async_hooks.utils.text import visible


class BaseSubcommand:
    """One subcommand.

    :param stdout: where the answer goes.
    :param stderr: where goes what is no answer, such as progress.
    :param as_json: whether the answer is to be JSON.
    """

    help: ClassVar[str]
    """What it does, in one line."""

    needs_ledger: ClassVar[bool] = True
    """Whether there have to be a backend and tables."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, as_json: bool) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.as_json = as_json

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Say which arguments it takes; ``--json`` is there already."""

    def handle(self, options: dict[str, Any]) -> None:
        """Do it.

        :raises CommandError: if that cannot be done.
        """
        raise NotImplementedError

    def answer(self, data: Any, lines: Iterable[str]) -> None:
        """Print the answer.

        :param data: what is printed as JSON.
        :param lines: what people get to read.
        """
        if self.as_json:
            self.stdout.write(_json(data))
        else:
            for line in lines:
                self.stdout.write(visible(line))


def _json(data: Any) -> str:
    """Return JSON that people can read; control characters, which only texts have, are escaped."""
    told = json.dumps(data, indent=2, ensure_ascii=False)
    if told.isascii():  # the others are escaped by JSON itself, but for DEL
        return told.replace("\x7f", "\\u007f")
    return "".join(_escaped(c) if c != "\n" and visible(c) != c else c for c in told)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if character > "\x7f" else "\\u007f"


def unknown(told: str, name: str, known: Iterable[str]) -> CommandError:
    """Return the error that something has no such name.

    :param told: what is wrong, without a full stop.
    :param known: names of which the nearest is suggested.
    """
    near = nearest(name, known)
    return CommandError(f'{told}; did you mean "{near}"?' if near else f"{told}.")


def counted(number: int, noun: str = "task") -> str:
    """Return a number of things, in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
