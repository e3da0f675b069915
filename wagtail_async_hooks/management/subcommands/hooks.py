"""``wagtail_tasks hooks``: which functions run where and why, and the options in force."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any, ClassVar, Final

from wagtail_async_hooks.hooks import takeover
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.formatting import wrapped
from wagtail_async_hooks.monitoring import hook_functions, registered
from wagtail_async_hooks.monitoring.hook_functions import HookFunction, Where
from wagtail_async_hooks.monitoring.registered import Listed, Option

WIDTH: Final = 80
"""Characters of a line that goes to no terminal; only what is to be copied is longer."""


class Subcommand(BaseSubcommand):
    """List the functions of hooks, and the tasks, that run in the background or could."""

    help = (
        "Lists which functions of hooks run in the background or could, and tasks: why, the "
        "options in force, and where each came from."
    )
    needs_ledger: ClassVar[bool] = False

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--all",
            action="store_true",
            dest="everything",
            help="Lists also the functions whose hooks need them in the request.",
        )

    def handle(self, options: dict[str, Any]) -> None:
        takeover.take_over()  # so that what the settings move is listed as moved
        found = [
            each
            for each in hook_functions.all_functions()
            if options["everything"] or each.where != Where.BOUND or _asks_in_vain(each)
        ]
        tasks = [each for each in registered.listed() if each.kind in ("task", "TASKS")]
        data = [*map(_data_of_function, found), *map(_data_of_task, tasks)]
        self.answer(data, [*self._lines_of_functions(found), *self._lines_of_tasks(tasks)])

    def _lines_of_functions(self, found: Iterable[HookFunction]) -> Iterator[str]:
        width = self.width or WIDTH
        for (kind, hook), functions in groupby(found, key=lambda each: (each.kind, each.hook)):
            yield f"{kind} {hook}"
            for each in functions:
                yield f"  {each.function}"
                in_background = each.where == Where.BACKGROUND
                where = f"in the {'background' if in_background else 'request'}: it {each.reason}"
                for text in (where, *each.warnings, *each.notes):
                    yield from wrapped(text, "  ", width)
                if each.setting:
                    yield f"    {each.setting}"  # in one line, to be copied
                yield from _option_lines(each.options, width)

    def _lines_of_tasks(self, found: Iterable[Listed]) -> Iterator[str]:
        width = self.width or WIDTH
        for each in found:
            yield f"{each.kind} {each.function}"
            if each.synchronous:
                yield from wrapped(f"in the request: {each.synchronous}", "  ", width)
            yield from _option_lines(each.options, width)


def _asks_in_vain(each: HookFunction) -> bool:
    return bool(each.notes)


def _option_lines(options: Iterable[Option], width: int) -> Iterator[str]:
    """Yield lines about the options of a function that have a value."""
    options = [option for option in options if option.value is not None]
    said = [option for option in options if option.source != registered.DEFAULT]
    for option in said:
        value = _text(option.value)
        line = f"    {option.name:13} {value:23} {option.source}"
        if len(line) <= width:
            yield line
        else:
            yield f"    {option.name:13} {_tail(value, width - 18)}"
            yield f"      by {option.source}"
    others = [f"{option.name} {_text(option.value)}" for option in options if option not in said]
    if others:
        yield from wrapped(f"by default: {', '.join(others)}", "    ", width)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _tail(text: str, width: int) -> str:
    """Return the end of a text, which says most of a dotted path."""
    return text if len(text) <= width or " " in text else f"…{text[1 - width :]}"


def _data_of_function(each: HookFunction) -> dict[str, Any]:
    return {**asdict(each), "where": each.where.value}


def _data_of_task(each: Listed) -> dict[str, Any]:
    where = Where.KEPT if each.synchronous else Where.BACKGROUND
    return {
        "kind": each.kind,
        "hook": each.hook,
        "function": each.function,
        "where": where.value,
        "reason": each.synchronous,
        "options": [asdict(option) for option in each.options],
    }
