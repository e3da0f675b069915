"""``wagtail_tasks hooks``: what runs in the background, and the options in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, ClassVar

from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.monitoring import registered
from wagtail_async_hooks.monitoring.registered import Listed


class Subcommand(BaseSubcommand):
    """List the functions that run in the background."""

    help = "Lists what runs in the background, the options in force, and where each came from."
    needs_ledger: ClassVar[bool] = False

    def handle(self, options: dict[str, Any]) -> None:
        found = registered.listed()
        self.answer([asdict(each) for each in found], self._lines(found))

    def _lines(self, found: Iterable[Listed]) -> Iterator[str]:
        for each in found:
            yield f"{each.kind} {each.hook or each.function}"
            if each.hook:
                yield f"  {each.function}"
            if each.moved:
                yield f"  moved by {each.moved}"
            if each.synchronous:
                yield f"  in the request: {each.synchronous}"
            said = [option for option in each.options if option.source != registered.DEFAULT]
            for option in said:
                yield f"    {option.name:13} {option.value!s:23} {option.source}"
            others = [f"{o.name} {_short(o.value)}" for o in each.options if o not in said]
            if others:
                yield f"    by default: {', '.join(others)}"


def _short(value: Any) -> str:
    return "-" if value is None else str(value)
