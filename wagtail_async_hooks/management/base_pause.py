"""The base class of the subcommands that pause and resume, and texts for what they pause."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.management.base import CommandError

from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.filters import require_name
from wagtail_async_hooks.models import Pause


class PausingSubcommand(BaseSubcommand):
    """Pause or resume a queue, a hook, a function, or everything."""

    verb: ClassVar[str]
    """The verb of the subcommand, such as ``"pause"``."""

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
        """Return the target, as keyword arguments for :mod:`wagtail_async_hooks.queue.pausing`.

        :raises CommandError: if none is given.
        """
        kinds = ("queue", "hook", "function")
        given = {kind: options[kind] for kind in kinds if options[kind]}
        if not given and not options["all"]:
            raise CommandError(
                f"Say what to {self.verb}: --queue, --hook or --function with a name, or --all."
            )
        return given


def in_words(kind: str, name: str) -> str:
    """Return the target of a pause in words, for the beginning of a sentence."""
    return f'{Pause.Kind(kind).label} "{name}"' if name else str(Pause.Kind(kind).label)


def named(target: dict[str, str]) -> str:
    """Return a target in words."""
    [(kind, name)] = target.items() or [("everything", "")]
    return in_words(kind, name)


def require(target: dict[str, str]) -> None:
    """Make sure that the target exists.

    :raises CommandError: if it does not.
    """
    for kind, name in target.items():
        require_name(kind, name)
