"""What the subcommands have in common that pause and resume: what they are about, in words."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.management.base import CommandError

from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.filters import require_name
from wagtail_async_hooks.models import Pause


class PausingSubcommand(BaseSubcommand):
    """Do something to a queue, a hook, a function, or everything."""

    verb: ClassVar[str]
    """What it does, such as ``"pause"``."""

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--queue", default="", metavar="NAME", help=f"{cls.verb} a queue")
        what.add_argument("--hook", default="", metavar="NAME", help=f"{cls.verb} a hook or signal")
        what.add_argument(
            "--function",
            default="",
            metavar="PATH",
            help=f"{cls.verb} a function, by its dotted path",
        )
        what.add_argument("--all", action="store_true", help=f"{cls.verb} everything")

    def target(self, options: dict[str, Any]) -> dict[str, str]:
        """Return what it is about, as arguments for :mod:`wagtail_async_hooks.queue.pausing`.

        :raises CommandError: if nothing was said.
        """
        kinds = ("queue", "hook", "function")
        given = {kind: options[kind] for kind in kinds if options[kind]}
        if not given and not options["all"]:
            raise CommandError(
                f"Say what to {self.verb}: --queue, --hook or --function with a name, or --all."
            )
        return given


def in_words(kind: str, name: str) -> str:
    """Return what is or was paused, at the beginning of a sentence."""
    return f'{Pause.Kind(kind).label} "{name}"' if name else str(Pause.Kind(kind).label)


def named(target: dict[str, str]) -> str:
    """Return a target in words."""
    [(kind, name)] = target.items() or [("everything", "")]
    return in_words(kind, name)


def require(target: dict[str, str]) -> None:
    """Make sure that there is what is named.

    :raises CommandError: if there is not.
    """
    for kind, name in target.items():
        require_name(kind, name)
