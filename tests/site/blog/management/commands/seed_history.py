"""Command that makes a week of background tasks."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tests.site.blog.seeding import history


class Command(BaseCommand):
    """`manage.py seed_history`."""

    help = "Fill the tables of background tasks with a week of them, to look at."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--keep-alive",
            action="store_true",
            help="go on until Ctrl-C, with the heartbeats of the workers that are made up",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, unless there are tasks already."""
        made = history.is_empty()
        if made:
            history.make()
        self.stdout.write("Made a week of tasks." if made else "There are tasks already.")
        self.stdout.flush()
        while options["keep_alive"]:
            history.keep_alive()
            time.sleep(2)
