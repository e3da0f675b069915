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
from wagtail_async_hooks.management.endings import without_traceback
from wagtail_async_hooks.management.preconditions import require_settings, require_tables


class Command(BaseCommand):
    """Look at background tasks, and do something about them."""

    help = "Looks at background tasks, and does something about them."
    requires_system_checks = []  # it is wanted most where something is wrong

    def run_from_argv(self, argv: list[str]) -> None:
        with without_traceback():
            super().run_from_argv(argv)

    def add_arguments(self, parser: ArgumentParser) -> None:
        adding = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
        for name, subcommand in known().items():
            added = adding.add_parser(name, help=subcommand.help, description=subcommand.help)
            added.add_argument("--json", action="store_true", help="answer by JSON")
            subcommand.add_arguments(added)

    def handle(self, *args: Any, **options: Any) -> None:
        subcommand = known()[options["subcommand"]]
        if subcommand.needs_site:
            _prepare(needs_ledger=subcommand.needs_ledger)
        subcommand(self.stdout, self.stderr, as_json=options["json"]).handle(options)


def _prepare(*, needs_ledger: bool) -> None:
    """Make sure of the settings and the tables, and import what has hooks and tasks."""
    settings = require_settings()
    if needs_ledger:
        if not settings.backend:
            raise CommandError(
                'WAGTAIL_TASKS["BACKEND"] is blank, so that there are no background tasks; set '
                'it to "database", "redis" or "celery".'
            )
        require_tables()
    discovery.import_all()
    takeover.take_over()
    takeover.provide_tasks()


def known() -> dict[str, type[BaseSubcommand]]:
    """Return the subcommands by name."""
    found = {}
    for module in iter_modules(subcommands.__path__):
        path = f"{subcommands.__name__}.{module.name}"
        found[module.name.replace("_", "-")] = import_module(path).Subcommand
    return found
