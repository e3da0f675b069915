"""``wagtail_tasks resume``: undo a pause."""

from __future__ import annotations

from typing import Any

from wagtail_async_hooks.management.base_pause import PausingSubcommand, in_words, named
from wagtail_async_hooks.queue import pausing


class Subcommand(PausingSubcommand):
    """Resume something."""

    help = "Undoes a pause of a queue, a hook, a function, or everything."
    verb = "resume"

    def handle(self, options: dict[str, Any]) -> None:
        target = self.target(options)
        was_paused = pausing.resume(**target)
        outcome = "is resumed" if was_paused else "was not paused"
        left = [in_words(pause.kind, pause.name) for pause in pausing.paused()]
        lines = [f"{named(target)} {outcome}."]
        if left:
            lines.append(f"Still paused: {', '.join(left)}.")
        self.answer({"resumed": was_paused, "still_paused": left}, lines)
