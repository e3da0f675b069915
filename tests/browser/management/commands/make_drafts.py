"""Command that makes many drafts below one page."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tests.integrations.bulk_actions.conftest import make_pages
from tests.site.blog.models import HomePage


class Command(BaseCommand):
    """`manage.py make_drafts`."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the argument."""
        parser.add_argument("number", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them."""
        home = HomePage.objects.get()
        parent = home.add_child(instance=HomePage(title="Letters", slug="letters"))
        make_pages(parent, options["number"])
