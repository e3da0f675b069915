"""``wagtail_tasks``: look at background tasks, and do something about them."""

from __future__ import annotations

from argparse import ArgumentParser
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from wagtail_async_hooks.hooks import discovery, takeover
from wagtail_async_hooks.management import subcommands
from wagtail_async_hooks.management.base import BaseSubcommand
from wagtail_async_hooks.management.preconditions import require_settings, require_tables


class Command(BaseCommand):
    """Look at background tasks, and do something about them."""

    help = "Looks at background tasks, and does something about them."
    requires_system_checks = []  # it is wanted most where something is wrong

    def add_arguments(self, parser: ArgumentParser) -> None:
        adding = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
        for name, subcommand in known().items():
            added = adding.add_parser(name, help=subcommand.help, description=subcommand.help)
            added.add_argument("--json", action="store_true", help="answer by JSON")
            subcommand.add_arguments(added)

    def handle(self, *args: Any, **options: Any) -> None:
        subcommand = known()[options["subcommand"]]
        settings = require_settings()
        if subcommand.needs_ledger:
            if not settings.backend:
                raise CommandError(
                    'WAGTAIL_TASKS["BACKEND"] is blank, so that there are no background tasks; set '
                    'it to "database" or "redis".'
                )
            require_tables()
        discovery.import_all()
        takeover.take_over()
        takeover.provide_tasks()
        subcommand(self.stdout, self.stderr, as_json=options["json"]).handle(options)


def known() -> dict[str, type[BaseSubcommand]]:
    """Return the subcommands by name."""
    found = {}
    for module in iter_modules(subcommands.__path__):
        path = f"{subcommands.__name__}.{module.name}"
        found[module.name.replace("_", "-")] = import_module(path).Subcommand
    return found
