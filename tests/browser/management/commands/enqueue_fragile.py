"""Command that enqueues many tasks which fail while the site's hooks are down."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tests.browser.wagtail_hooks import fragile


class Command(BaseCommand):
    """`manage.py enqueue_fragile`."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the argument."""
        parser.add_argument("number", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        """Enqueue them."""
        for number in range(options["number"]):
            fragile(number)
