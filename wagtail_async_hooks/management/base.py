"""The base class of the subcommands of ``wagtail_tasks``.

Each module of :mod:`wagtail_async_hooks.management.subcommands` is a subcommand of the same name,
and has its class, ``Subcommand``.
"""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.management.base import CommandError, OutputWrapper

from wagtail_async_hooks.utils.suggestions import nearest
from wagtail_async_hooks.utils.text import visible


class BaseSubcommand:
    """One subcommand.

    :param stdout: stream for the answer.
    :param stderr: stream for everything else, such as progress.
    :param as_json: whether to print the answer as JSON.
    """

    help: ClassVar[str]
    """Description of the subcommand, in one line."""

    needs_ledger: ClassVar[bool] = True
    """Whether the subcommand needs a backend and the tables."""

    needs_site: ClassVar[bool] = True
    """Whether the subcommand needs settings without mistakes, and the site's modules."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, as_json: bool) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.as_json = as_json

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Add the subcommand's arguments to its parser, which has ``--json`` already."""

    def handle(self, options: dict[str, Any]) -> None:
        """Run the subcommand.

        :raises CommandError: if it cannot be done.
        """
        raise NotImplementedError

    @property
    def width(self) -> int | None:
        """Characters of a line of the terminal; ``None`` if the answer does not go to one."""
        return shutil.get_terminal_size().columns if self.stdout.isatty() else None

    def answer(self, data: Any, lines: Iterable[str]) -> None:
        """Print the answer.

        :param data: printed with ``--json``.
        :param lines: printed otherwise, for people.
        """
        if self.as_json:
            self.stdout.write(_json(data))
        else:
            for line in lines:
                self.stdout.write(visible(line))


def _json(data: Any) -> str:
    """Return indented JSON in which control characters are escaped."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    if text.isascii():  # the others are escaped by JSON itself, but for DEL
        return text.replace("\x7f", "\\u007f")
    return "".join(_escaped(c) if c != "\n" and visible(c) != c else c for c in text)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if character > "\x7f" else "\\u007f"


def unknown(problem: str, name: str, known: Iterable[str]) -> CommandError:
    """Return an error for an unknown name.

    :param problem: the beginning of the message, without a full stop.
    :param name: the name.
    :param known: existing names, of which the nearest is suggested.
    """
    near = nearest(name, known)
    return CommandError(f'{problem}; did you mean "{near}"?' if near else f"{problem}.")


def counted(number: int, noun: str = "task") -> str:
    """Return a number with its noun, in the plural if need be."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
