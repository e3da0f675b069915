"""``wagtail_tasks pause``: let workers begin nothing of a queue, a hook, a function, or at all."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from wagtail_async_hooks.management.base_pause import PausingSubcommand, named, require
from wagtail_async_hooks.queue import pausing


class Subcommand(PausingSubcommand):
    """Pause something."""

    help = "Lets no worker begin tasks of a queue, a hook or a function, or any, until resumed."
    verb = "pause"

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="why, for those who wonder"
        )

    def handle(self, options: dict[str, Any]) -> None:
        target = self.target(options)
        require(target)
        is_new = pausing.pause(**target, reason=options["reason"])
        outcome = "is paused" if is_new else "was paused already"
        self.answer({"paused": is_new}, [f"{named(target)} {outcome}."])
